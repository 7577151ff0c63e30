//! What came of a generation, fetched by the app.

use std::sync::Arc;

use axum::body::Body;
use clipkeep_core::id::RequestId;
use http::Response;

use super::{Passing, ProxyError, record};
use crate::app::App;

/// Fetches a result, and records it as its webhook would have been. Where that
/// cannot be done now the app is told to ask again: the result stays at fal.
pub(super) async fn fetch(app: &App, request_id: &RequestId, call: Passing) -> Result<Response<Body>, ProxyError> {
    let (follow, _place) = (call.follow.clone(), Arc::clone(&call.place));
    let reply = call.send(app).await?;
    if !reply.is_json() {
        return Ok(reply.pass(None));
    }
    let most = usize::try_from(app.config.hook_max_body).unwrap_or(usize::MAX);
    let mut whole = reply.collect(most).await?;
    let Some(decoded) = record::read_whole(app, "result", request_id, &mut whole).await? else {
        return whole.pass(follow).await;
    };
    let replace = match record::record(app, &decoded).await {
        Ok(replace) => replace,
        Err(error) if app.config.rewrite_results => return Err(ProxyError::Catalog(error)),
        Err(error) => {
            app.metrics.passed_unrecorded("result");
            tracing::error!(%request_id, error = &error as &dyn std::error::Error, "a result was not recorded");
            None
        }
    };
    whole.pass(replace.filter(|_| app.config.rewrite_results)).await
}
