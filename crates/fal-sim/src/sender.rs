//! Sends webhooks as fal does: signed anew for each attempt, retried with
//! growing pauses, redirects refused.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{keys::Delivery, python_json, server::Sim};

/// How often a webhook is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retries {
    /// 2026: 31 retries until the result expires.
    Current,
    /// Before: 10 in two hours.
    Old,
    /// None.
    None,
}

/// What goes wrong with the webhooks of coming jobs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookFaults {
    /// Never sent.
    pub drop: bool,
    /// Sent so many times more, all at once.
    pub duplicates: u32,
    /// `payload: null` with a `payload_error`.
    pub payload_null: bool,
    /// The job fails with this text.
    pub error: Option<String>,
    /// Seconds by which the timestamp is off.
    pub skew_secs: i64,
    /// The body is changed after signing.
    pub altered: bool,
    /// Signed with a key that the JWKS does not hold.
    pub bad_key: bool,
    /// Fields that nobody knows.
    pub extra_fields: bool,
    /// Sent before the submit call is answered.
    pub early: bool,
}

/// One attempt at a webhook.
#[derive(Clone, Debug)]
pub struct Sent {
    pub request_id: String,
    /// The answer's status; 0 if there was none.
    pub status: u16,
    /// How long the answer took.
    pub took: Duration,
}

impl Retries {
    /// The pause before retry `number` (from 1), or none when it is given up.
    fn pause(self, number: u32) -> Option<Duration> {
        let (most, longest) = match self {
            Self::Current => (31, 340.0),
            Self::Old => (10, 1800.0),
            Self::None => (0, 0.0),
        };
        (number <= most).then(|| Duration::from_secs_f64((2.5 * 2.2_f64.powi(number.cast_signed() - 1)).min(longest)))
    }
}

/// The body of a job's terminal webhook.
pub(crate) fn body(request_id: &str, payload: &Value, faults: &WebhookFaults) -> Vec<u8> {
    let mut body = json!({
        "error": null, "gateway_request_id": request_id, "payload": payload, "request_id": request_id, "status": "OK",
    });
    if faults.payload_null {
        body["payload"] = Value::Null;
        body["payload_error"] = json!(
            "Response payload is not JSON serializable. Either return a JSON serializable object or use the queue endpoint to retrieve the response."
        );
    }
    if let Some(error) = &faults.error {
        body["status"] = json!("ERROR");
        body["error"] = json!(error);
        body["payload"] = json!({"detail": [{"loc": ["body", "prompt"], "msg": error, "type": "value_error"}]});
    }
    if faults.extra_fields {
        body["delivery"] = json!({"attempt": 1, "region": "eu"});
    }
    python_json(&body).into_bytes()
}

/// Sends until a 2xx, or until fal would give up.
pub(crate) async fn deliver(sim: Sim, url: String, request_id: String, body: Vec<u8>, faults: WebhookFaults) {
    let copies = (0..=faults.duplicates)
        .map(|_| tokio::spawn(deliver_one(sim.clone(), url.clone(), request_id.clone(), body.clone(), faults.clone())));
    for copy in copies.collect::<Vec<_>>() {
        let _ = copy.await;
    }
}

async fn deliver_one(sim: Sim, url: String, request_id: String, body: Vec<u8>, faults: WebhookFaults) {
    for number in 1.. {
        let timeout = Duration::from_secs(if number == 1 { 15 } else { 120 });
        let delivery = delivery(&sim, &request_id, body.clone(), &faults);
        let status = attempt(&sim, &url, &request_id, delivery, timeout).await;
        // A redirect is a permanent failure.
        if (200..400).contains(&status) {
            return;
        }
        let Some(pause) = sim.options().retries.pause(number) else { return };
        tokio::time::sleep(pause.div_f64(sim.options().time_factor)).await;
    }
}

fn delivery(sim: &Sim, request_id: &str, body: Vec<u8>, faults: &WebhookFaults) -> Delivery {
    let now = sim.now_secs() + faults.skew_secs;
    let mut delivery = if faults.bad_key {
        crate::keys::Signer::new(201).sign(request_id, body, now)
    } else {
        sim.signer().sign(request_id, body, now)
    };
    if faults.altered {
        delivery.body.push(b'\n');
    }
    delivery
}

async fn attempt(sim: &Sim, url: &str, request_id: &str, delivery: Delivery, timeout: Duration) -> u16 {
    let began = tokio::time::Instant::now();
    let mut request = sim.client().post(url).timeout(timeout).header("accept", "*/*").header("accept-encoding", "gzip");
    for (name, value) in delivery.headers {
        request = request.header(name, value);
    }
    let status = request.body(delivery.body).send().await.map_or(0, |response| response.status().as_u16());
    sim.record_sent(Sent { request_id: request_id.to_owned(), status, took: began.elapsed() });
    status
}
