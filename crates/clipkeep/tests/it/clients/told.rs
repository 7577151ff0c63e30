//! When an app hears of things, and what is safe by then.

use std::{sync::Arc, time::Duration};

use fal_sim::WebhookFaults;
use serde_json::Value;
use tokio::time::Instant;

use super::{App, assert_kept, given, settings, simulator, simulator_that_takes, text};
use crate::support::{
    app::TestApp,
    garage,
    node::{Node, NodeConfig, TOKEN},
    postgres,
};

const MODEL: &str = "fal-ai/wan/v2.2-a14b/text-to-video";

#[tokio::test(flavor = "multi_thread")]
async fn events_pass_as_they_come() {
    let sim = simulator_that_takes(Duration::from_secs(2)).await;
    let settings = settings(&sim);
    let t = TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &settings, &[]).await;
    let app = App::js_by_proxy(&t);
    for scenario in ["queue", "stream"] {
        let took = app.run(scenario, &given(MODEL)).await["tookMs"].as_f64().unwrap();
        assert!(took > 800.0, "{scenario}: all events at once, within {took} ms");
    }
}

async fn until_stored(node: &Node, key: &str) -> Value {
    let began = Instant::now();
    loop {
        let row = node.api(&format!("/api/v1/clips/{key}")).await.unwrap_or_default();
        if row["state"] == "stored" {
            return row;
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{row}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i01_case_39_what_an_app_was_told_of_survives_kill_9() {
    let sim = simulator().await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = NodeConfig::new(&dir.path().join("data")).set("poll_after", "50ms");
    config.settings.extend(settings(&sim));
    let mut node = config.start(&sim).await;
    let app =
        |node: &Node| App::js(&sim, TOKEN).set("PROXY_URL", format!("{}/fal/proxy", node.url)).set("TENANT", "acme");
    let direct = app(&node).run("run", &given(MODEL)).await;
    sim.set_webhook_faults(WebhookFaults { drop: true, ..WebhookFaults::default() });
    let queued = app(&node).run("submit", &given(MODEL)).await;
    node.kill();
    let node = config.start(&sim).await;
    for request_id in [text(&direct, "/requestId"), text(&queued, "/request_id")] {
        let row = until_stored(&node, &format!("{request_id}.mp4")).await;
        assert_eq!((text(&row, "/model"), text(&row, "/tenant")), (MODEL, "acme"));
        assert_eq!(row["input"], given("")["input"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_postgresql_and_garage() {
    let (sim, place) = (simulator().await, garage::place());
    let more = [("database", postgres::database().await), ("store", place.url())];
    let settings: Vec<_> = settings(&sim).into_iter().chain(more).collect();
    let t = TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &settings, &place.aws()).await;
    let app = App::js_by_proxy(&t).set("TENANT", "acme");
    for scenario in ["subscribe", "run", "stream"] {
        let seen = app.run(scenario, &given(MODEL)).await;
        let result = if scenario == "stream" { "/done" } else { "/data" };
        assert_kept(&t, text(&seen, &format!("{result}/video/url")), MODEL, Some("acme")).await;
    }
}
