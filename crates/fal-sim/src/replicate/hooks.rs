//! Replicate's webhooks: all but the last are sent once, the last is tried for
//! a minute.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{ReplicateFaults, SECRET, jobs::Prediction, signed};
use crate::{sender::Sent, server::Sim};

/// How long its end is told for.
const WINDOW: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Event {
    Start,
    Output,
    Completed,
}

impl Event {
    const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Output => "output",
            Self::Completed => "completed",
        }
    }
}

/// The webhooks of one prediction.
pub(super) struct Hooks {
    sim: Sim,
    url: Option<String>,
    id: String,
    events: Vec<String>,
    faults: ReplicateFaults,
}

impl Hooks {
    pub(super) fn new(sim: &Sim, prediction: &Prediction, faults: &ReplicateFaults) -> Self {
        Self {
            sim: sim.clone(),
            url: prediction.webhook.clone(),
            id: prediction.id().to_owned(),
            events: prediction.events.clone(),
            faults: faults.clone(),
        }
    }

    /// Tells of an event, once; or holds it back, where the end comes first.
    pub(super) async fn tell(&self, event: Event, body: Value) -> Vec<(Event, Value)> {
        if self.faults.end_first {
            return vec![(event, body)];
        }
        self.attempt(event, &body).await;
        Vec::new()
    }

    /// Tells of the end, and then of what was held back.
    pub(super) async fn tell_end(&self, body: Value, held: Vec<(Event, Value)>) {
        let copies = if self.faults.drop { 0 } else { 1 + self.faults.duplicates };
        futures_util::future::join_all((0..copies).map(|_| self.until_taken(&body))).await;
        for (event, body) in held {
            self.attempt(event, &body).await;
        }
    }

    /// Tells of the end until a 2xx, with growing pauses, for a minute.
    async fn until_taken(&self, body: &Value) {
        let factor = self.sim.options().time_factor;
        let (began, mut pause) = (Instant::now(), Duration::from_secs(1));
        while !(200..300).contains(&self.attempt(Event::Completed, body).await) {
            if began.elapsed().mul_f64(factor) + pause > WINDOW {
                return;
            }
            tokio::time::sleep(pause.div_f64(factor)).await;
            pause *= 2;
        }
    }

    /// The status that it was answered with; what is not wanted is taken.
    async fn attempt(&self, event: Event, body: &Value) -> u16 {
        let Some(url) = self.url.as_ref().filter(|_| self.events.iter().any(|name| name == event.word())) else {
            return 200;
        };
        let began = Instant::now();
        let id = format!("msg_{}_{}", self.id, event.word());
        let delivery = signed(&SECRET, &id, body.to_string().into_bytes(), self.sim.now_secs());
        let mut request = self.sim.client().post(url).timeout(TIMEOUT).header("content-type", "application/json");
        for (name, value) in delivery.headers {
            request = request.header(name, value);
        }
        let status = request.body(delivery.body).send().await.map_or(0, |response| response.status().as_u16());
        let request_id = format!("{} {}", self.id, event.word());
        self.sim.replicate_state().sent.lock().push(Sent { request_id, status, took: began.elapsed() });
        status
    }
}
