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
    Json,
    http::{Method, StatusCode},
    response::{IntoResponse, Response, Sse, sse::Event},
};
use chrono::DateTime;
use futures_util::stream;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    api::{self, Asked, detail},
    models, run, sender,
    server::Sim,
};

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

impl Job {
    fn end(&self, code: u16, body: Value) {
        *self.result.lock() = Some((code, body, Instant::now()));
    }
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

pub(crate) async fn answer(sim: &Sim, asked: Asked) -> Response {
    let segments = asked.segments();
    let Some(at) = segments.iter().position(|segment| *segment == "requests") else {
        return match asked.method {
            Method::POST => submit(sim, asked).await,
            _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        };
    };
    let Some(job) = segments.get(at + 1).and_then(|id| sim.jobs().find(id)) else {
        return (StatusCode::NOT_FOUND, Json(json!({"status": "NOT_FOUND"}))).into_response();
    };
    let logs = matches!(asked.query.get("logs").map(String::as_str), Some("1" | "true"));
    match (&asked.method, &segments[at + 2..]) {
        (&Method::GET, ["status"]) => {
            job.asked.fetch_add(1, Ordering::Relaxed);
            status_response(sim, &job, logs)
        }
        (&Method::GET, ["status", "stream"]) => status_stream(sim.clone(), job, logs).into_response(),
        (&Method::GET, [] | ["response"]) => result(sim, &job),
        (&Method::PUT, ["cancel"]) => cancel(sim, &job),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Only owner and app count after the submit: the path is dropped.
fn app_of(endpoint: &str) -> String {
    let segments: Vec<&str> = endpoint.split('/').filter(|segment| !segment.is_empty()).collect();
    let shift = usize::from(matches!(segments.first(), Some(&"workflows" | &"comfy")));
    segments.into_iter().take(2 + shift).collect::<Vec<_>>().join("/")
}

async fn submit(sim: &Sim, asked: Asked) -> Response {
    let (endpoint, webhook) = (asked.path.clone(), asked.query.get("fal_webhook").cloned());
    let input = match api::input(asked).await {
        Ok(input) => input,
        Err(refused) => return refused,
    };
    let job = Arc::new(Job {
        id: sim.next_id(),
        app: app_of(&endpoint),
        submitted: Instant::now(),
        cancelled: Mutex::new(false),
        asked: AtomicU64::new(0),
        result: Mutex::new(None),
    });
    sim.jobs().0.lock().insert(job.id.clone(), Arc::clone(&job));
    let run = run(sim.clone(), Arc::clone(&job), endpoint, input, webhook);
    if sim.webhook_faults().early {
        run.await;
    } else {
        tokio::spawn(run);
    }
    let mut reply = status(sim, &job, false);
    reply["gateway_request_id"] = json!(job.id);
    reply["status"] = json!("IN_QUEUE");
    reply["queue_position"] = json!(0);
    Json(reply).into_response()
}

async fn run(sim: Sim, job: Arc<Job>, endpoint: String, input: Value, webhook: Option<String>) {
    tokio::time::sleep(sim.options().queue_time + sim.options().run_time).await;
    if *job.cancelled.lock() {
        job.end(499, json!({"detail": "The request was cancelled", "error_type": "client_cancelled"}));
        return;
    }
    let faults = sim.webhook_faults();
    let payload = models::payload(&sim, &endpoint, &input);
    match &faults.error {
        Some(error) => job.end(422, run::failure(error)),
        None => job.end(200, payload.clone()),
    }
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

fn status(sim: &Sim, job: &Job, logs: bool) -> Value {
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
            status["logs"] = log(sim, logs);
        }
        Stage::Completed => {
            status["status"] = json!("COMPLETED");
            status["logs"] = log(sim, logs);
            status["metrics"] = json!({"inference_time": sim.options().run_time.as_secs_f64()});
            if let Some((code, body, _)) = job.result.lock().as_ref().filter(|(code, ..)| *code != 200) {
                status["error"] = json!(format!("Invalid status code: {code}"));
                let of_model = &body["detail"][0]["type"];
                status["error_type"] = if of_model.is_null() { &body["error_type"] } else { of_model }.clone();
            }
        }
    }
    status
}

/// What the model wrote, if that was asked for.
fn log(sim: &Sim, wanted: bool) -> Value {
    let at = DateTime::from_timestamp(sim.now_secs(), 0).unwrap_or_default();
    let line = json!({"message": "Loading model", "level": "INFO", "source": "USER", "timestamp": at.to_rfc3339()});
    if wanted { json!([line]) } else { Value::Null }
}

fn status_response(sim: &Sim, job: &Job, logs: bool) -> Response {
    let code = if stage(sim, job) == Stage::Completed { StatusCode::OK } else { StatusCode::ACCEPTED };
    (code, Json(status(sim, job, logs))).into_response()
}

fn status_stream(sim: Sim, job: Arc<Job>, logs: bool) -> impl IntoResponse {
    let events = stream::unfold(Some(false), move |ended| {
        let (sim, job) = (sim.clone(), Arc::clone(&job));
        async move {
            if ended? {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            let done = stage(&sim, &job) == Stage::Completed;
            let event = Event::default().data(status(&sim, &job, logs).to_string());
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
            (code, run::served(&job.id), Json(body.clone())).into_response()
        }
    }
}

fn cancel(sim: &Sim, job: &Job) -> Response {
    let (code, said) = match stage(sim, job) {
        Stage::Queued => (StatusCode::OK, "OK"),
        Stage::Running => (StatusCode::ACCEPTED, "CANCELLATION_REQUESTED"),
        Stage::Completed => (StatusCode::BAD_REQUEST, "ALREADY_COMPLETED"),
    };
    *job.cancelled.lock() = true;
    (code, Json(json!({"status": said}))).into_response()
}
