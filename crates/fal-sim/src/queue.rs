//! The queue API: submit, status (also as a stream), result, cancel.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response, Sse, sse::Event},
    routing::{any, get},
};
use futures_util::stream;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{models, sender, server::Sim};

#[derive(Default)]
pub(crate) struct Jobs(Mutex<HashMap<String, Arc<Job>>>);

struct Job {
    id: String,
    app: String,
    submitted: Instant,
    cancelled: Mutex<bool>,
    /// How often its status was asked for.
    asked: AtomicU64,
    /// The result's status and body, once there is one.
    result: Mutex<Option<(u16, Value, Instant)>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Queued,
    Running,
    Completed,
}

impl Jobs {
    fn find(&self, id: &str) -> Option<Arc<Job>> {
        self.0.lock().get(id).cloned()
    }

    /// How often a job's status was asked for.
    pub(crate) fn asked(&self, id: &str) -> u64 {
        self.find(id).map_or(0, |job| job.asked.load(Ordering::Relaxed))
    }
}

pub(crate) fn router() -> Router<Sim> {
    Router::new()
        .route("/.well-known/jwks.json", get(jwks))
        .route("/queue/{*path}", any(handle).layer(axum::extract::DefaultBodyLimit::max(64 << 20)))
}

async fn jwks(State(sim): State<Sim>) -> Response {
    match sim.published_keys() {
        Some(keys) => Json(keys).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn handle(
    State(sim): State<Sim>,
    method: Method,
    Path(path): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(key) = &sim.options().key {
        let given = headers.get("authorization").and_then(|value| value.to_str().ok());
        if given != Some(&format!("Key {key}")) {
            return detail(StatusCode::UNAUTHORIZED, "Cannot access application. Authentication is required.");
        }
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let Some(at) = segments.iter().position(|segment| *segment == "requests") else {
        return match method {
            Method::POST => submit(&sim, &path, query.get("fal_webhook").cloned(), &body).await,
            _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        };
    };
    let Some(job) = segments.get(at + 1).and_then(|id| sim.jobs().find(id)) else {
        return (StatusCode::NOT_FOUND, Json(json!({"status": "NOT_FOUND"}))).into_response();
    };
    match (method, &segments[at + 2..]) {
        (Method::GET, ["status"]) => {
            job.asked.fetch_add(1, Ordering::Relaxed);
            status_response(&sim, &job)
        }
        (Method::GET, ["status", "stream"]) => status_stream(sim, job).into_response(),
        (Method::GET, [] | ["response"]) => result(&sim, &job),
        (Method::PUT, ["cancel"]) => cancel(&sim, &job),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn detail(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({"detail": text}))).into_response()
}

/// Only owner and app count after the submit: the path is dropped.
fn app_of(endpoint: &str) -> String {
    let segments: Vec<&str> = endpoint.split('/').filter(|segment| !segment.is_empty()).collect();
    let shift = usize::from(matches!(segments.first(), Some(&"workflows" | &"comfy")));
    segments.into_iter().take(2 + shift).collect::<Vec<_>>().join("/")
}

async fn submit(sim: &Sim, endpoint: &str, webhook: Option<String>, body: &[u8]) -> Response {
    let Ok(input) = serde_json::from_slice::<Value>(body) else {
        return detail(StatusCode::UNPROCESSABLE_ENTITY, "body is no JSON");
    };
    let job = Arc::new(Job {
        id: sim.next_id(),
        app: app_of(endpoint),
        submitted: Instant::now(),
        cancelled: Mutex::new(false),
        asked: AtomicU64::new(0),
        result: Mutex::new(None),
    });
    sim.jobs().0.lock().insert(job.id.clone(), Arc::clone(&job));
    let run = run(sim.clone(), Arc::clone(&job), endpoint.to_owned(), input, webhook);
    if sim.webhook_faults().early {
        run.await;
    } else {
        tokio::spawn(run);
    }
    let mut reply = status(sim, &job);
    reply["gateway_request_id"] = json!(job.id);
    reply["status"] = json!("IN_QUEUE");
    reply["queue_position"] = json!(0);
    Json(reply).into_response()
}

async fn run(sim: Sim, job: Arc<Job>, endpoint: String, input: Value, webhook: Option<String>) {
    tokio::time::sleep(sim.options().queue_time + sim.options().run_time).await;
    if *job.cancelled.lock() {
        return;
    }
    let faults = sim.webhook_faults();
    let payload = models::payload(&sim, &endpoint, &input);
    let result = match &faults.error {
        Some(error) => {
            let detail = json!([{"loc": ["body", "prompt"], "msg": error, "type": "content_policy_violation"}]);
            (422, json!({"detail": detail}), Instant::now())
        }
        None => (200, payload.clone(), Instant::now()),
    };
    *job.result.lock() = Some(result);
    if let Some(url) = webhook.filter(|_| !faults.drop) {
        let body = sender::body(&job.id, &payload, &faults);
        tokio::spawn(sender::deliver(sim, url, job.id.clone(), body, faults));
    }
}

fn stage(sim: &Sim, job: &Job) -> Stage {
    if job.result.lock().is_some() {
        Stage::Completed
    } else if job.submitted.elapsed() < sim.options().queue_time {
        Stage::Queued
    } else {
        Stage::Running
    }
}

fn status(sim: &Sim, job: &Job) -> Value {
    let url = format!("{}/{}/requests/{}", sim.queue_url(), job.app, job.id);
    let mut status = json!({
        "request_id": job.id, "response_url": url, "status_url": format!("{url}/status"),
        "cancel_url": format!("{url}/cancel"),
    });
    match stage(sim, job) {
        Stage::Queued => {
            status["status"] = json!("IN_QUEUE");
            status["queue_position"] = json!(0);
        }
        Stage::Running => {
            status["status"] = json!("IN_PROGRESS");
            status["logs"] = json!([]);
        }
        Stage::Completed => {
            status["status"] = json!("COMPLETED");
            status["logs"] = json!([]);
            status["metrics"] = json!({"inference_time": sim.options().run_time.as_secs_f64()});
            if job.result.lock().as_ref().is_some_and(|(code, ..)| *code != 200) {
                status["error"] = json!("Invalid status code: 422");
                status["error_type"] = json!("content_policy_violation");
            }
        }
    }
    status
}

fn status_response(sim: &Sim, job: &Job) -> Response {
    let code = if stage(sim, job) == Stage::Completed { StatusCode::OK } else { StatusCode::ACCEPTED };
    (code, Json(status(sim, job))).into_response()
}

fn status_stream(sim: Sim, job: Arc<Job>) -> impl IntoResponse {
    let events = stream::unfold(Some(false), move |ended| {
        let (sim, job) = (sim.clone(), Arc::clone(&job));
        async move {
            if ended? {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            let done = stage(&sim, &job) == Stage::Completed;
            let event = Event::default().data(status(&sim, &job).to_string());
            Some((Ok::<_, Infallible>(event), Some(done)))
        }
    });
    Sse::new(events)
}

fn result(sim: &Sim, job: &Job) -> Response {
    match &*job.result.lock() {
        None => detail(StatusCode::BAD_REQUEST, "Request is still in progress"),
        Some((.., at)) if at.elapsed() > sim.options().result_ttl => {
            (StatusCode::NOT_FOUND, Json(json!({"status": "NOT_FOUND"}))).into_response()
        }
        Some((code, body, _)) => {
            let code = StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (code, [("x-fal-request-id", job.id.clone())], Json(body.clone())).into_response()
        }
    }
}

fn cancel(sim: &Sim, job: &Job) -> Response {
    if stage(sim, job) == Stage::Completed {
        return (StatusCode::BAD_REQUEST, Json(json!({"status": "ALREADY_COMPLETED"}))).into_response();
    }
    *job.cancelled.lock() = true;
    (StatusCode::ACCEPTED, Json(json!({"status": "CANCELLATION_REQUESTED"}))).into_response()
}
