//! Predictions: what they are, how they go on, and what they answer.

use std::sync::{Arc, atomic::Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::hooks::{Event, Hooks};
use crate::{media::Media, server::Sim};

pub(crate) struct Prediction {
    id: String,
    model: String,
    pub(super) webhook: Option<String>,
    pub(super) events: Vec<String>,
    stage: Mutex<Stage>,
}

struct Stage {
    status: &'static str,
    input: Value,
    output: Value,
    error: Value,
    logs: String,
    ended: Option<Instant>,
    is_removed: bool,
}

/// Starts a prediction as `POST /v1/predictions` asks for it.
pub(super) fn start(sim: &Sim, request: Value) -> Arc<Prediction> {
    let number = sim.replicate_state().numbers.fetch_add(1, Ordering::Relaxed);
    let text = |name: &str| request[name].as_str().map(str::to_owned);
    let listed = request["webhook_events_filter"].as_array();
    let events = listed.map(|list| list.iter().filter_map(|event| event.as_str().map(str::to_owned)).collect());
    let prediction = Arc::new(Prediction {
        id: format!("ufawqhfynnddngldkgts{:04x}{number:08x}", sim.now_secs() & 0xffff),
        model: text("model").or_else(|| text("version")).unwrap_or_default(),
        webhook: text("webhook"),
        events: events.unwrap_or_else(|| ["start", "output", "logs", "completed"].map(str::to_owned).to_vec()),
        stage: Mutex::new(Stage {
            status: "starting",
            input: request["input"].clone(),
            output: Value::Null,
            error: Value::Null,
            logs: String::new(),
            ended: None,
            is_removed: false,
        }),
    });
    sim.replicate_state().predictions.lock().insert(prediction.id.clone(), Arc::clone(&prediction));
    tokio::spawn(run(sim.clone(), Arc::clone(&prediction)));
    prediction
}

async fn run(sim: Sim, prediction: Arc<Prediction>) {
    let faults = sim.replicate_state().faults.lock().clone();
    let hooks = Hooks::new(&sim, &prediction, &faults);
    let mut held = hooks.tell(Event::Start, prediction.body(&sim)).await;
    tokio::time::sleep(sim.options().queue_time).await;
    let output = output(&sim, &prediction);
    // What is there half way: a list grows, anything else may be replaced.
    let half = match &output {
        Value::Array(items) => json!(items.iter().take(1).collect::<Vec<_>>()),
        _ => json!("https://replicate.delivery/half/preview.mp4"),
    };
    let step = prediction.step(&sim, |stage| {
        (stage.status, stage.output, stage.logs) = ("processing", half, "frame 1 of 2\n".to_owned());
    });
    if let Some(body) = step {
        held.extend(hooks.tell(Event::Output, body).await);
    }
    tokio::time::sleep(sim.options().run_time).await;
    let error = faults.error.clone();
    prediction.step(&sim, |stage| {
        stage.logs.push_str("frame 2 of 2\n");
        match error {
            None => (stage.status, stage.output) = ("succeeded", output),
            Some(words) => (stage.status, stage.error) = ("failed", words.into()),
        }
        stage.ended = Some(Instant::now());
    });
    let end = prediction.body(&sim);
    if faults.removed {
        prediction.remove();
    }
    hooks.tell_end(end, held).await;
}

impl Prediction {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Goes on, unless it is over; answers what it is then.
    fn step(&self, sim: &Sim, change: impl FnOnce(&mut Stage)) -> Option<Value> {
        {
            let mut stage = self.stage.lock();
            if stage.ended.is_some() {
                return None;
            }
            change(&mut stage);
        }
        Some(self.body(sim))
    }

    pub(super) fn cancel(&self) {
        let mut stage = self.stage.lock();
        if stage.ended.is_none() {
            (stage.status, stage.ended) = ("canceled", Some(Instant::now()));
        }
    }

    fn remove(&self) {
        let mut stage = self.stage.lock();
        (stage.input, stage.output, stage.is_removed) = (json!({}), Value::Null, true);
    }

    /// The prediction as its API answers it; forgotten once its time is over.
    pub(super) fn body(&self, sim: &Sim) -> Value {
        let is_old = self.stage.lock().ended.is_some_and(|at| at.elapsed() > sim.options().result_ttl);
        if is_old {
            self.remove();
        }
        let stage = self.stage.lock();
        let mut body = body(sim, &self.id, &self.model, stage.status, &stage.input, &stage.output);
        body["error"] = stage.error.clone();
        body["logs"] = json!(stage.logs);
        body["data_removed"] = json!(stage.is_removed);
        body
    }
}

/// The output of a model: a text, a list, or an object.
fn output(sim: &Sim, prediction: &Prediction) -> Value {
    let file = |name: &str| sim.add_file(name, Media::named(name));
    match prediction.model.as_str() {
        model if model.ends_with("/stills") => json!([file("still.png"), file("still.jpg")]),
        model if model.ends_with("/scene") => json!({"poster": file("still.png"), "video": file("moov-first.mp4")}),
        _ => json!(file("moov-first.mp4")),
    }
}

/// A prediction's JSON.
pub(super) fn body(sim: &Sim, id: &str, model: &str, status: &str, input: &Value, output: &Value) -> Value {
    let url = format!("{}/v1/predictions/{id}", sim.replicate().api_url());
    json!({
        "id": id, "model": model, "version": "hidden", "status": status, "input": input, "output": output,
        "error": null, "logs": "", "metrics": {"predict_time": 1.5}, "data_removed": false, "source": "api",
        "created_at": null, "started_at": null, "completed_at": null,
        "urls": {"get": url, "cancel": format!("{url}/cancel"), "web": format!("https://replicate.com/p/{id}")},
    })
}
