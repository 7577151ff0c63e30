//! Providers beside fal, and what is asked of fal itself.

mod replays;
mod replicate;
mod standard;
mod submit;

use std::{sync::Arc, time::Duration};

use clipkeep_core::{generation::Generation, state::GenerationStatus};
use fal_sim::{Delivery, Sim, SimOptions};
use reqwest::Response;
use tokio::time::Instant;

use crate::support::app::TestApp;

const LONG: Duration = Duration::from_secs(60);
const SECRET: &str = "whsec_bHVtYSBzaWducyB3aXRoIHRoaXMgc2VjcmV0IQ==";

/// A node that sweeps by hand alone, with these settings.
async fn node(sim: SimOptions, more: &[(&'static str, String)]) -> TestApp {
    let sim = Sim::start(sim).await.unwrap();
    let own = [
        ("replicate_api_url", sim.replicate().api_url()),
        ("replicate_webhook_secret", sim.replicate().secret()),
        ("replicate_token", "r8_token".to_owned()),
        ("standard_webhook_secrets", SECRET.to_owned()),
        ("sweep_interval", "1d".to_owned()),
    ];
    sim.replicate().set_token("r8_token");
    TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &[&own[..], more].concat(), &[]).await
}

/// Sends a delivery to a hook, as it is.
async fn deliver(t: &TestApp, hook: &str, delivery: Delivery) -> Response {
    let mut request = t.client.post(format!("{}/hooks/{hook}", t.url));
    for (name, value) in delivery.headers {
        request = request.header(name, value);
    }
    request.body(delivery.body).send().await.unwrap()
}

async fn until(t: &TestApp, request_id: &str, status: GenerationStatus) -> Generation {
    let began = Instant::now();
    loop {
        let generation = t.app.catalog.generation(&request_id.parse().unwrap()).await.unwrap();
        if let Some(generation) = generation.clone().filter(|generation| generation.status == status) {
            return generation;
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "not {status}: {generation:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a condition holds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
