//! What is being filled, as it goes on: a piece of the queue's page each second,
//! as server-sent events.

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use clipkeep_core::problem::Code;
use futures_util::stream;

use super::{
    Trouble, layout, queue,
    session::{Visitor, visitor},
};
use crate::{
    shares::Share,
    web::{AppState, error::ApiError},
};

const UPDATE_INTERVAL: Duration = Duration::from_secs(1);
/// A stream ends after a while: a page that nobody looks at does not hold a place
/// for ever, and one that somebody looks at comes again by itself.
const MAX_UPDATES: u32 = 600;

pub(super) async fn stream(by: Visitor, State(app): State<AppState>, headers: HeaderMap) -> Result<Response, Trouble> {
    let full = || ApiError::new(Code::Unavailable, "too many streams on this node").retry_after(5);
    let place = app.event_stream.enter(by.caller.tenant()).ok_or_else(full)?;
    let watcher = Watcher { app, by, headers, before: String::new(), told: 0, _place: place };
    let mut response = Body::from_stream(stream::unfold(watcher, Watcher::next)).into_response();
    layout::strict(response.headers_mut());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

struct Watcher {
    app: AppState,
    by: Visitor,
    /// What the visitor showed: the session may end while the stream runs.
    headers: HeaderMap,
    before: String,
    told: u32,
    _place: Share,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        if self.told > 0 {
            tokio::select! {
                () = tokio::time::sleep(UPDATE_INTERVAL) => {}
                () = self.app.event_stream.ending().cancelled() => return None,
            }
        }
        let still = visitor(&self.app, &self.headers).await.ok().flatten();
        if self.told >= MAX_UPDATES || still.is_none_or(|now| now.caller != self.by.caller) {
            return None;
        }
        self.told += 1;
        let text = queue::filling(&self.app, &self.by.caller).await.ok()?.into_string();
        // A silent stream shows that it lives.
        let event = if text == self.before { ":\n\n".to_owned() } else { event(&text) };
        self.before = text;
        Some((Ok(event.into()), self))
    }
}

/// A text as one event. What others wrote may hold line ends, and each line needs
/// a name of its own: else the rest would be events of theirs.
fn event(text: &str) -> String {
    let lines = text.split(['\r', '\n']).map(|line| format!("data: {line}\n"));
    lines.chain(["\n".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_no_event_of_its_own() {
        assert_eq!(event("a"), "data: a\n\n");
        let said = event("line\n\ndata: injected\r\nevent: x\rid: 1");
        assert!(said.ends_with("\n\n") && !said.contains('\r'));
        assert!(said.trim_end().split('\n').all(|line| line.starts_with("data: ")), "{said:?}");
    }
}
