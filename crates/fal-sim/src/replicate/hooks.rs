//! Replicate's webhooks: all but the last are sent once, the last is tried for
//! a minute.

use std::{sync::Arc, time::Duration};

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

/// Tells of a prediction all that is asked for.
pub(super) fn tell(
    sim: &Sim,
    prediction: &Arc<Prediction>,
    before: Vec<(Event, Value)>,
    end: (Event, Value),
    faults: &ReplicateFaults,
) {
    let Some(url) = prediction.webhook.clone() else { return };
    let (sim, prediction, faults) = (sim.clone(), Arc::clone(prediction), faults.clone());
    tokio::spawn(async move {
        let hook = Hook { sim, url, id: prediction.id().to_owned() };
        let wanted = |event: Event| prediction.events.iter().any(|name| name == event.word());
        let tell_end = async || {
            let copies = if faults.drop || !wanted(Event::Completed) { 0 } else { 1 + faults.duplicates };
            futures_util::future::join_all((0..copies).map(|_| hook.until_taken(&end.1))).await;
        };
        if faults.end_first {
            tell_end().await;
        }
        for (event, body) in before.iter().filter(|(event, _)| wanted(*event)) {
            hook.attempt(*event, body).await;
        }
        if !faults.end_first {
            tell_end().await;
        }
    });
}

struct Hook {
    sim: Sim,
    url: String,
    id: String,
}

impl Hook {
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

    async fn attempt(&self, event: Event, body: &Value) -> u16 {
        let began = Instant::now();
        let id = format!("msg_{}_{}", self.id, event.word());
        let delivery = signed(&SECRET, &id, body.to_string().into_bytes(), self.sim.now_secs());
        let mut request = self.sim.client().post(&self.url).timeout(TIMEOUT).header("content-type", "application/json");
        for (name, value) in delivery.headers {
            request = request.header(name, value);
        }
        let status = request.body(delivery.body).send().await.map_or(0, |response| response.status().as_u16());
        let request_id = format!("{} {}", self.id, event.word());
        self.sim.replicate_state().sent.lock().push(Sent { request_id, status, took: began.elapsed() });
        status
    }
}
