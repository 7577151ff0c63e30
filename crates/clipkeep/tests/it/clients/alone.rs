//! The clients and the simulator, nothing of ours between: it is a fal to them.

use fal_sim::{Outage, Sim};
use serde_json::json;

use super::{App, FAL_KEY, simulator, text};
use crate::support::tls::Front;

async fn python(sim: &Sim) -> (tempfile::TempDir, App) {
    let dir = tempfile::tempdir().unwrap();
    let front = Front::start(dir.path(), &sim.base_url().replace("http://", "")).await;
    let app = App::python(&front, FAL_KEY);
    (dir, app)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_client_takes_the_simulator_for_fal() {
    let sim = simulator().await;
    let app = App::js(&sim, FAL_KEY);
    let input = json!({"prompt": "a fox", "seed": 5});
    for mode in ["polling", "streaming"] {
        let given = json!({"model": "fal-ai/wan/v2.2-a14b/text-to-video", "input": input, "mode": mode});
        let seen = app.run("subscribe", &given).await;
        let url = text(&seen, "/data/video/url");
        assert!(sim.media(url).is_some(), "{seen}");
        assert_eq!(seen["seen"].as_array().unwrap().last(), Some(&json!("COMPLETED")), "{seen}");
        assert!(!seen["logs"].as_array().unwrap().is_empty() && !text(&seen, "/requestId").is_empty(), "{seen}");
    }
    let seen = app.run("queue", &json!({"model": "fal-ai/flux/dev", "input": input})).await;
    assert!(["IN_QUEUE", "IN_PROGRESS"].contains(&text(&seen, "/first/status")), "{seen}");
    assert_eq!(text(&seen, "/last/status"), "COMPLETED");
    assert_eq!(text(&seen, "/result/requestId"), text(&seen, "/requestId"));
    let seen = app.run("run", &json!({"model": "fal-ai/veo3", "input": input})).await;
    assert!(sim.media(text(&seen, "/data/video/url")).is_some());
    let cancelled = app.run("cancel", &json!({"model": "fal-ai/veo3", "input": input})).await;
    let refused = json!({"model": "fal-ai/veo3", "requestId": cancelled["requestId"]});
    let status = app.run("result", &refused).await["error"]["status"].as_u64();
    assert!(matches!(status, Some(400 | 499)), "in progress still, or cancelled already: {status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_client_streams_and_uploads_to_the_simulator() {
    let sim = simulator().await;
    let app = App::js(&sim, FAL_KEY);
    for mode in ["server", "client"] {
        let seen = app.run("stream", &json!({"model": "fal-ai/veo3", "input": {"prompt": "x"}, "mode": mode})).await;
        let events = seen["events"].as_array().unwrap();
        assert_eq!((events.len(), &events[4]), (5, &seen["done"]), "{seen}");
        assert!(!text(&seen, "/requestId").is_empty());
    }
    for (len, name) in [(100_000, "ä cat.png"), (92 << 20, "big.png")] {
        let seen = app.run("upload", &json!({"len": len, "name": name, "type": "image/png"})).await;
        let media = sim.media(text(&seen, "/url")).unwrap();
        assert_eq!((media.len(), media.sha256().as_str()), (len, text(&seen, "/sha256")));
    }
    let parts = sim.calls().iter().filter(|call| call.method == "PUT").count();
    assert_eq!(parts, 1 + 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_takes_the_simulator_for_fal() {
    let sim = simulator().await;
    let (_dir, app) = python(&sim).await;
    for is_async in [false, true] {
        let given = |model: &str| json!({"model": model, "input": {"prompt": "a fox", "seed": 5}, "async": is_async});
        let seen = app.run("subscribe", &given("fal-ai/kling-video/v3/pro/text-to-video")).await;
        assert!(sim.media(text(&seen, "/data/video/url")).is_some(), "{seen}");
        let kinds: Vec<_> = seen["seen"].as_array().unwrap().iter().map(|status| status["is"].clone()).collect();
        assert_eq!(kinds.last(), Some(&json!("Completed")), "{kinds:?}");
        let seen = app.run("queue", &given("fal-ai/flux/dev")).await;
        assert!(sim.media(text(&seen, "/get/images/0/url")).is_some(), "{seen}");
        let seen = app.run("run", &given("fal-ai/sora-2/text-to-video")).await;
        assert!(sim.media(text(&seen, "/video/url")).is_some(), "{seen}");
        let seen = app.run("stream", &given("fal-ai/veo3")).await;
        assert_eq!(seen.as_array().unwrap().len(), 5, "{seen}");
        let seen = app.run("cancel", &given("fal-ai/veo3")).await;
        assert_eq!(text(&seen, "/last/error_type"), "client_cancelled", "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_clients_take_the_simulators_outage_for_fals() {
    let sim = simulator().await;
    let given = json!({"model": "fal-ai/veo3", "input": {"prompt": "x"}});
    let (_dir, python) = python(&sim).await;
    let js = App::js(&sim, FAL_KEY);
    sim.set_outages(vec![Outage::internal_error()]);
    let seen = js.run("submit", &given).await;
    assert_eq!(
        (seen["error"]["status"].as_u64(), text(&seen, "/error/body/error_type")),
        (Some(500), "internal_error")
    );
    sim.set_outages(vec![Outage::no_runner()]);
    let seen = python.run("run", &given).await;
    let error = (seen["error"]["status"].as_u64(), text(&seen, "/error/error_type"));
    assert_eq!(error, (Some(503), "runner_scheduling_failure"));
    // Both try again what they think passes.
    sim.set_outages(vec![Outage::too_many(1).times(1), Outage::cut().times(1)]);
    assert!(js.run("run", &given).await["data"].is_object());
    sim.set_outages(vec![Outage::too_many(1).times(1), Outage::cut().times(1)]);
    assert!(python.run("run", &given).await["video"].is_object());
    let denied = App::js(&sim, "wrong").run("run", &given).await;
    assert_eq!(denied["error"]["status"], 401);
}
