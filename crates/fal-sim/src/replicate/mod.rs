//! Replicate beside fal: predictions that are made, polled and forgotten
//! (`jobs`), and their webhooks (`hooks`). Its outputs lie on the media host.

mod hooks;
mod jobs;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use data_encoding::BASE64;
use parking_lot::Mutex;
use ring::hmac;
use serde_json::{Value, json};

use self::jobs::Prediction;
use crate::{keys::Delivery, sender::Sent, server::Sim};

/// What the webhooks are signed with.
const SECRET: [u8; 32] = *b"replicate's own secret, 32 bytes";

/// What goes wrong with coming predictions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicateFaults {
    /// No webhook of its end is sent.
    pub drop: bool,
    /// The webhook of its end is sent so many times more, all at once.
    pub duplicates: u32,
    /// The webhook of its end comes before all others.
    pub end_first: bool,
    /// It fails with these words.
    pub error: Option<String>,
    /// Input and output are forgotten as soon as it ends.
    pub removed: bool,
}

/// The state of the simulated Replicate.
#[derive(Default)]
pub(crate) struct Replicate {
    predictions: Mutex<HashMap<String, Arc<Prediction>>>,
    faults: Mutex<ReplicateFaults>,
    token: Mutex<Option<String>>,
    asked: AtomicU64,
    numbers: AtomicU64,
    sent: Mutex<Vec<Sent>>,
}

/// Replicate, as a test holds it.
pub struct ReplicateSim<'a>(&'a Sim);

impl Sim {
    /// The simulated Replicate.
    pub const fn replicate(&self) -> ReplicateSim<'_> {
        ReplicateSim(self)
    }
}

impl ReplicateSim<'_> {
    /// Its API, for `replicate_api_url`.
    pub fn api_url(&self) -> String {
        format!("{}/replicate", self.0.base_url())
    }

    /// The secret that its webhooks are signed with, as its API tells it.
    pub fn secret(&self) -> String {
        format!("whsec_{}", BASE64.encode(&SECRET))
    }

    /// What goes wrong with coming predictions.
    pub fn set_faults(&self, faults: ReplicateFaults) {
        *self.0.replicate_state().faults.lock() = faults;
    }

    /// From now on `Authorization: Bearer …` must hold this.
    pub fn set_token(&self, token: &str) {
        *self.0.replicate_state().token.lock() = Some(token.to_owned());
    }

    /// How often predictions were asked for.
    pub fn asked(&self) -> u64 {
        self.0.replicate_state().asked.load(Ordering::Relaxed)
    }

    /// Every attempt at a webhook so far; `request_id` is the prediction, and
    /// the word of its event.
    pub fn sent(&self) -> Vec<Sent> {
        self.0.replicate_state().sent.lock().clone()
    }

    /// Signs a body as Replicate would now.
    pub fn sign(&self, id: &str, body: Vec<u8>) -> Delivery {
        self.sign_at(id, body, self.0.now_secs())
    }

    /// Signs a body as Replicate would at another time.
    pub fn sign_at(&self, id: &str, body: Vec<u8>, at: i64) -> Delivery {
        signed(&SECRET, id, body, at)
    }

    /// A prediction as its API and its webhooks tell of it.
    pub fn prediction(&self, id: &str, status: &str, input: &Value, output: &Value) -> Value {
        jobs::body(self.0, id, "minimax/video-01", status, input, output)
    }
}

/// A Standard Webhook of these bytes.
pub(crate) fn signed(secret: &[u8], id: &str, body: Vec<u8>, at: i64) -> Delivery {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let message = [id.as_bytes(), b".", at.to_string().as_bytes(), b".", &body].concat();
    let tag = BASE64.encode(hmac::sign(&key, &message).as_ref());
    let headers = vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", format!("v1,{tag}")),
    ];
    Delivery { headers, body }
}

pub(crate) fn router() -> Router<Sim> {
    Router::new()
        .route("/replicate/v1/predictions", post(create))
        .route("/replicate/v1/predictions/{id}", get(read))
        .route("/replicate/v1/predictions/{id}/cancel", post(cancel))
        .route("/replicate/v1/webhooks/default/secret", get(secret))
}

/// Refuses whoever does not bear the token.
fn refused(sim: &Sim, headers: &HeaderMap) -> Option<Response> {
    let token = sim.replicate_state().token.lock().clone()?;
    let given = headers.get("authorization").and_then(|value| value.to_str().ok());
    let body =
        json!({"title": "Unauthenticated", "detail": "You did not pass a valid authentication token", "status": 401});
    (given != Some(&format!("Bearer {token}"))).then(|| (StatusCode::UNAUTHORIZED, Json(body)).into_response())
}

fn unknown() -> Response {
    let body = json!({"detail": "The requested resource could not be found.", "status": 404});
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

async fn create(State(sim): State<Sim>, headers: HeaderMap, Json(request): Json<Value>) -> Response {
    if let Some(refused) = refused(&sim, &headers) {
        return refused;
    }
    let prediction = jobs::start(&sim, request);
    (StatusCode::CREATED, Json(prediction.body(&sim))).into_response()
}

async fn read(State(sim): State<Sim>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    sim.replicate_state().asked.fetch_add(1, Ordering::Relaxed);
    if let Some(refused) = refused(&sim, &headers) {
        return refused;
    }
    let known = sim.replicate_state().predictions.lock().get(&id).cloned();
    known.map_or_else(unknown, |prediction| Json(prediction.body(&sim)).into_response())
}

async fn cancel(State(sim): State<Sim>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    if let Some(refused) = refused(&sim, &headers) {
        return refused;
    }
    let known = sim.replicate_state().predictions.lock().get(&id).cloned();
    known.map_or_else(unknown, |prediction| {
        prediction.cancel();
        Json(prediction.body(&sim)).into_response()
    })
}

async fn secret(State(sim): State<Sim>, headers: HeaderMap) -> Response {
    refused(&sim, &headers).unwrap_or_else(|| Json(json!({"key": sim.replicate().secret()})).into_response())
}
