//! Direct calls: `POST /{owner}/{app}[/path]`, answered when the model is
//! done, and `…/stream`, answered while it works.

use std::convert::Infallible;

use axum::{
    Json,
    http::{HeaderName, Method, StatusCode},
    response::{IntoResponse, Response, Sse, sse::Event},
};
use futures_util::stream;
use serde_json::{Value, json};

use crate::{
    api::{self, Asked, detail},
    models,
    server::Sim,
};

/// How many events tell of progress before the result.
const EVENTS: u32 = 4;

pub(crate) async fn answer(sim: &Sim, asked: Asked) -> Response {
    if asked.segments().len() < 2 {
        return detail(StatusCode::NOT_FOUND, "Application not found");
    }
    if !matches!(asked.method, Method::POST | Method::GET) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = asked.path.trim_end_matches('/').to_owned();
    let input = match api::input(asked).await {
        Ok(input) => input,
        Err(refused) => return refused,
    };
    let headers = served(&sim.next_id());
    if let Some(error) = sim.webhook_faults().error {
        tokio::time::sleep(sim.options().run_time).await;
        return (StatusCode::UNPROCESSABLE_ENTITY, headers, Json(failure(&error))).into_response();
    }
    if let Some(endpoint) = path.strip_suffix("/stream") {
        return (headers, streamed(sim.clone(), endpoint.to_owned(), input)).into_response();
    }
    tokio::time::sleep(sim.options().run_time).await;
    (headers, Json(models::payload(sim, &path, &input))).into_response()
}

/// What a model answers that cannot make what it was asked for.
pub(crate) fn failure(error: &str) -> Value {
    json!({"detail": [{"loc": ["body", "prompt"], "msg": error, "type": "content_policy_violation"}]})
}

/// The headers that come with a result.
pub(crate) fn served(id: &str) -> [(HeaderName, String); 2] {
    [
        (HeaderName::from_static("x-fal-request-id"), id.to_owned()),
        (HeaderName::from_static("x-fal-billable-units"), "1".to_owned()),
    ]
}

fn streamed(sim: Sim, endpoint: String, input: Value) -> impl IntoResponse {
    let events = stream::unfold(0, move |number| {
        let (sim, endpoint, input) = (sim.clone(), endpoint.clone(), input.clone());
        async move {
            if number > EVENTS {
                return None;
            }
            tokio::time::sleep(sim.options().run_time / (EVENTS + 1)).await;
            let data = match number {
                EVENTS => models::payload(&sim, &endpoint, &input),
                _ => json!({"progress": f64::from(number) / f64::from(EVENTS)}),
            };
            Some((Ok::<_, Infallible>(Event::default().data(data.to_string())), number + 1))
        }
    });
    Sse::new(events)
}
