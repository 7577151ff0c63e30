//! A direct call that answers with a stream of events. The last event with files
//! in it is the result: it is recorded, and leaves with our URLs. So an event
//! with files waits until the next one shows that it was a preview, or until the
//! stream is over; all others leave at once.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use clipkeep_core::{
    generation::HookRecord,
    id::RequestId,
    proxy::{Event, Events, SseRewriter},
};
use futures_util::{StreamExt, stream};
use http::Response;
use tokio::sync::mpsc;

use super::{
    generate::Run,
    keep,
    reply::{Coming, Replace, without_lengths},
    until_stopped,
};
use crate::{app::App, provider::RelayError};

/// The longest event that is looked at; a longer one passes as it comes.
const MAX_EVENT: usize = 1 << 20;
/// How many chunks wait for a slow app.
const QUEUE: usize = 8;

type Out = mpsc::Sender<Result<Bytes, RelayError>>;

/// Passes the stream on. It is read to its end, whether the app stays or not.
pub(super) fn pass(app: &Arc<App>, run: Run, coming: Coming) -> Response<Body> {
    let (out, chunks) = mpsc::channel(QUEUE);
    let (status, headers) = (coming.status, without_lengths(coming.headers.clone()));
    let reading = {
        let app = Arc::clone(app);
        async move { read(&app, run, coming, out).await }
    };
    app.tasks.spawn(until_stopped(app, reading));
    let chunks = stream::unfold(chunks, |mut chunks| async move { Some((chunks.recv().await?, chunks)) });
    let mut response = Response::new(Body::from_stream(chunks));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

async fn read(app: &App, run: Run, coming: Coming, out: Out) {
    let mut chunks = Box::pin(coming.chunks());
    let (mut events, mut held) = (Events::new(MAX_EVENT), None);
    let mut fault = None;
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => {
                let leaving = sort(app, &run.request_id, &mut events, &chunk, &mut held);
                if !leaving.is_empty() {
                    // The app may have left; the result is kept all the same.
                    let _ = out.send(Ok(leaving.into())).await;
                }
            }
            Err(error) => fault = Some(error),
        }
    }
    if let Some(Held { raw, record, behind }) = held {
        let replace = run.keep(app, record).await;
        let _ = out.send(Ok([replaced(raw, replace), behind].concat().into())).await;
    }
    let _ = match fault {
        Some(error) => out.send(Err(error)).await,
        None => out.send(Ok(events.into_rest().into())).await,
    };
}

/// The last event with files, and what came behind it.
struct Held {
    raw: Vec<u8>,
    record: HookRecord,
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
fn sort(app: &App, id: &RequestId, events: &mut Events, chunk: &[u8], held: &mut Option<Held>) -> Vec<u8> {
    let mut leaving = Vec::new();
    events.push(chunk, &mut |event| {
        let (raw, data) = match event {
            Event::Part(raw) => (raw, None),
            Event::Whole { raw, data } => (raw, data),
        };
        let record = data.and_then(|data| keep::read(app, id, 200, &data)).filter(|record| !record.clips.is_empty());
        match (record, held.as_mut()) {
            (Some(record), _) => {
                leaving.extend(held.as_mut().map(Held::release).unwrap_or_default());
                *held = Some(Held { raw, record, behind: Vec::new() });
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
