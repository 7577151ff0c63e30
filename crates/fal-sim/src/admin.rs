//! `/_sim`: the simulator's controls over HTTP, for when it runs as a program.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::json;

use crate::{faults::Faults, media::Media, outage::Outage, sender::WebhookFaults, server::Sim};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFile {
    /// An embedded file's name; a padded clip of `len` bytes without it.
    media: Option<String>,
    len: Option<u64>,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    faults: Faults,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetFaults {
    url: String,
    faults: Faults,
}

pub(crate) fn router() -> Router<Sim> {
    Router::new()
        .route("/_sim/files", post(add_file))
        .route("/_sim/faults", post(set_faults))
        .route("/_sim/webhooks", post(set_webhooks).get(sent))
        .route("/_sim/requests", get(requests))
        .route("/_sim/outages", post(set_outages))
        .route("/_sim/calls", get(calls))
}

async fn add_file(State(sim): State<Sim>, Json(wanted): Json<NewFile>) -> Response {
    let (name, media) = match (&wanted.media, wanted.len) {
        (Some(name), _) if Media::names().any(|known| known == name) => (name.as_str(), Media::named(name)),
        (None, Some(len)) if len >= 1 << 20 => ("padded.mp4", Media::padded(len, wanted.seed)),
        _ => {
            return (StatusCode::UNPROCESSABLE_ENTITY, "name a known media, or a len of at least 1 MiB")
                .into_response();
        }
    };
    let sha256 = media.sha256();
    Json(json!({"url": sim.add_faulty_file(name, media, wanted.faults), "sha256": sha256})).into_response()
}

async fn set_faults(State(sim): State<Sim>, Json(wanted): Json<SetFaults>) -> StatusCode {
    sim.set_faults(&wanted.url, wanted.faults);
    StatusCode::NO_CONTENT
}

async fn set_webhooks(State(sim): State<Sim>, Json(faults): Json<WebhookFaults>) -> StatusCode {
    sim.set_webhook_faults(faults);
    StatusCode::NO_CONTENT
}

async fn sent(State(sim): State<Sim>) -> Response {
    let row = |sent: &crate::sender::Sent| json!({"request_id": sent.request_id, "status": sent.status, "took_ms": sent.took.as_secs_f64() * 1000.0});
    Json(sim.sent().iter().map(row).collect::<Vec<_>>()).into_response()
}

async fn requests(State(sim): State<Sim>) -> Response {
    let row = |request: &crate::record::Recorded| {
        json!({
            "method": request.method, "path": request.path, "status": request.status, "sent": request.sent(),
            "headers": request.headers,
        })
    };
    Json(sim.requests().iter().map(row).collect::<Vec<_>>()).into_response()
}

async fn set_outages(State(sim): State<Sim>, Json(outages): Json<Vec<Outage>>) -> StatusCode {
    sim.set_outages(outages);
    StatusCode::NO_CONTENT
}

async fn calls(State(sim): State<Sim>) -> Response {
    let row = |call: &crate::calls::Call| {
        json!({
            "method": call.method, "path": call.path, "query": call.query, "status": call.status(),
            "body_len": call.body_len(), "headers": call.headers,
        })
    };
    Json(sim.calls().iter().map(row).collect::<Vec<_>>()).into_response()
}
