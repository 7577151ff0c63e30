//! A direct call that answers with a stream of events. The last event with files
//! in it is the result: it is recorded, and leaves with our URLs. So an event
//! with files waits until the next one shows that it was a preview, or until the
//! stream is over; all others leave at once.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use clipkeep_core::{
    hook::Decoded,
    id::RequestId,
    proxy::{Event, Events, SseRewriter},
};
use futures_util::{StreamExt, stream};
use http::Response;
use tokio::{sync::mpsc, time::timeout};

use super::{
    generate::Run,
    record,
    reply::{Replace, UpstreamReply, without_lengths},
    until_stopped,
};
use crate::{app::App, provider::RelayError};

/// The longest event that is looked at; a longer one passes as it comes.
const MAX_EVENT: usize = 4 << 20;
/// How many chunks wait for a slow app.
const QUEUE: usize = 8;

/// How long an app may take over a chunk, until it counts as one that has left.
const RECORD_TIMEOUT: Duration = Duration::from_secs(60);

/// The way to the app, while it listens.
struct Out(Option<mpsc::Sender<Result<Bytes, RelayError>>>);

impl Out {
    /// The app may have left, or stopped reading; the stream is read all the same.
    async fn send(&mut self, chunk: Result<Bytes, RelayError>) {
        let Some(out) = &self.0 else { return };
        if !matches!(timeout(RECORD_TIMEOUT, out.send(chunk)).await, Ok(Ok(()))) {
            self.0 = None;
        }
    }
}

/// Passes the stream on. It is read to its end, whether the app stays or not.
pub(super) fn pass(app: &Arc<App>, run: Run, reply: UpstreamReply) -> Response<Body> {
    let (out, chunks) = mpsc::channel(QUEUE);
    let (status, headers) = (reply.status, without_lengths(reply.headers.clone()));
    let reading = {
        let app = Arc::clone(app);
        async move { read(&app, run, reply, Out(Some(out))).await }
    };
    app.tasks.spawn(until_stopped(app, reading));
    let chunks = stream::unfold(chunks, |mut chunks| async move { Some((chunks.recv().await?, chunks)) });
    let mut response = Response::new(Body::from_stream(chunks));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

async fn read(app: &App, run: Run, reply: UpstreamReply, mut out: Out) {
    let mut chunks = Box::pin(reply.chunks());
    let (mut events, mut held, mut passed_over) = (Events::new(MAX_EVENT), None, false);
    let mut fault = None;
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => {
                let leaving = sort(app, &run.request_id, &mut events, &chunk, (&mut held, &mut passed_over));
                if !leaving.is_empty() {
                    out.send(Ok(leaving.into())).await;
                }
            }
            Err(error) => fault = Some(error),
        }
    }
    if let Some(error) = fault {
        // What is held may be a preview: nobody said that it was the result.
        tracing::warn!(request_id = %run.request_id, "a direct call's stream broke off, and has no result");
        if let Some(mut held) = held {
            out.send(Ok(held.release().into())).await;
        }
        return out.send(Err(error)).await;
    }
    if passed_over && held.is_none() {
        app.metrics.passed_unrecorded("run");
        tracing::error!(request_id = %run.request_id, "an event that passed is longer than 4 MiB, and was not recorded");
    }
    if let Some(Held { raw, decoded, behind }) = held {
        let replace = run.keep(app, decoded).await;
        out.send(Ok([replaced(raw, replace), behind].concat().into())).await;
    }
    out.send(Ok(events.into_rest().into())).await;
}

/// The last event with files, and what came behind it.
struct Held {
    raw: Vec<u8>,
    decoded: Decoded,
    behind: Vec<u8>,
}

impl Held {
    fn release(&mut self) -> Vec<u8> {
        let mut raw = std::mem::take(&mut self.raw);
        raw.append(&mut self.behind);
        raw
    }

    /// Adds what follows. What cannot wait any longer leaves.
    fn follow(&mut self, raw: &[u8]) -> Vec<u8> {
        self.behind.extend_from_slice(raw);
        if self.behind.len() > MAX_EVENT { self.release() } else { Vec::new() }
    }
}

/// What may leave now. An event with files is held in place of the one before.
fn sort(
    app: &App,
    id: &RequestId,
    events: &mut Events,
    chunk: &[u8],
    (held, passed_over): (&mut Option<Held>, &mut bool),
) -> Vec<u8> {
    let mut leaving = Vec::new();
    events.push(chunk, &mut |event| {
        let (raw, data) = match event {
            Event::Part(raw) => {
                *passed_over = true;
                (raw, None)
            }
            Event::Whole { raw, data } => (raw, data),
        };
        let decoded = data.and_then(|data| record::read(id, 200, &data.into(), app.clock.now()));
        let decoded = decoded.filter(|decoded| !decoded.record.clips.is_empty());
        match (decoded, held.as_mut()) {
            (Some(decoded), _) => {
                leaving.extend(held.as_mut().map(Held::release).unwrap_or_default());
                *held = Some(Held { raw, decoded, behind: Vec::new() });
            }
            (None, Some(held)) => leaving.extend(held.follow(&raw)),
            (None, None) => leaving.extend(raw),
        }
    });
    leaving
}

fn replaced(raw: Vec<u8>, replace: Option<Replace>) -> Vec<u8> {
    let Some(replace) = replace else { return raw };
    let (mut out, mut rewriter) = (Vec::with_capacity(raw.len()), SseRewriter::new(|text: &str| replace(text)));
    rewriter.push(&raw, &mut out);
    rewriter.finish(&mut out);
    out
}
