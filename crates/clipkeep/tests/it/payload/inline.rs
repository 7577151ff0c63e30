//! K16: outputs that came as data, and are nowhere else.

use std::sync::Arc;

use clipkeep_core::{generation::Clip, state::ClipState};
use data_encoding::BASE64;
use fal_sim::{Media, Sim, SimOptions};
use reqwest::Method;
use serde_json::{Value, json};

use super::{bytes, told, viewed};
use crate::{
    proxy::{call, start, submit},
    support::{app::TestApp, eventually::eventually, garage},
};

fn data_url(name: &str) -> String {
    format!("data:{};base64,{}", Media::named(name).content_type, BASE64.encode(&bytes(name)))
}

/// What lies in the store's folder, with what waits to be filled.
fn objects(t: &TestApp) -> Vec<String> {
    let names = t.data.path().join("clips").read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name != ".staging" && name != ".clipkeep");
    names.sort();
    names
}

async fn stored(t: &TestApp, key: &str, name: &str) -> Clip {
    let clip = t.until(key, ClipState::Stored).await;
    assert_eq!(clip.sealed.as_ref().unwrap().sha256, Media::named(name).sha256());
    clip
}

#[tokio::test(flavor = "multi_thread")]
async fn k16_data_is_kept_once_however_often_it_is_told() {
    let t = TestApp::start().await;
    let payload = json!({"video": {"url": data_url("moov-first.mp4"), "content_type": "video/mp4"},
        "images": [{"url": data_url("still.png")}, data_url("still.jpg").replace("data:", "DATA: ").replace('=', "")]});
    assert_eq!(told(&t, "r", &payload).await, 3);
    stored(&t, "r.1.png", "still.png").await;
    stored(&t, "r.2.jpg", "still.jpg").await;
    let clip = stored(&t, "r.mp4", "moov-first.mp4").await;
    assert_eq!(clip.source_url.expose(), format!("inline:{}", Media::named("moov-first.mp4").sha256()));
    assert_eq!(viewed(&t, "r.mp4").await, bytes("moov-first.mp4"));
    for _ in 0..3 {
        let again = t.hook_payload("r", &payload, "").await.json::<Value>().await.unwrap();
        assert_eq!(again["status"], "duplicate");
    }
    let receipt = t.api("/api/v1/clips/r.mp4/receipt").await;
    assert!(receipt.to_string().contains("inline"), "{receipt}");
    let names: Vec<String> = objects(&t).into_iter().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(names, ["r.1.png", "r.2.jpg", "r.mp4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn k16_what_was_acknowledged_outlives_the_node_that_took_it() {
    let t = TestApp::start().await;
    t.app.engine.close(std::time::Duration::ZERO).await;
    assert_eq!(told(&t, "r", &json!({"video": data_url("silent.mp4")})).await, 1);
    assert_eq!(objects(&t).len(), 1, "it is in the store when that is answered");
    let (sim, data) = t.stop().await;
    let t = TestApp::on(sim, data, &[], &[]).await;
    stored(&t, "r.mp4", "silent.mp4").await;
    let began = tokio::time::Instant::now();
    while objects(&t) != ["r.mp4"] {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{:?}", objects(&t));
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// In a bucket, too, and where it is so large that it goes there in parts.
#[tokio::test(flavor = "multi_thread")]
async fn k16_data_is_kept_in_a_bucket() {
    let place = garage::place();
    let settings = [("store", place.url()), ("hook_max_body", "64MiB".to_owned())];
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let t = TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &settings, &place.aws()).await;
    let large = Media::padded(20 << 20, 3);
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < large.len() {
        bytes.extend_from_slice(&large.chunk(bytes.len() as u64..large.len()));
    }
    let data = format!("data:video/mp4;base64,{}", BASE64.encode(&bytes));
    let payload = json!({"images": [data_url("still.png")], "video": {"url": data}});
    assert_eq!(told(&t, "r", &payload).await, 2);
    stored(&t, "r.1.png", "still.png").await;
    let clip = t.until("r.mp4", ClipState::Stored).await;
    assert_eq!(clip.sealed.unwrap().sha256, large.sha256());
    eventually("nothing of the data is left", async || t.app.store.inlines().await.unwrap().is_empty().then_some(()))
        .await;
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k16_without_the_store_nothing_is_acknowledged() {
    let t = TestApp::start().await;
    let store = t.data.path().join("clips");
    // A store that is in use is never made anew.
    assert_eq!(told(&t, "before", &json!({"image": data_url("still.png")})).await, 1);
    stored(&t, "before.png", "still.png").await;
    std::fs::rename(&store, t.data.path().join("away")).unwrap();
    let payload = json!({"video": data_url("silent.mp4")});
    assert_eq!(t.hook_payload("r", &payload, "").await.status(), 503);
    assert!(t.app.catalog.generation(&"r".parse().unwrap()).await.unwrap().is_none());
    std::fs::rename(t.data.path().join("away"), &store).unwrap();
    assert_eq!(told(&t, "r", &payload).await, 1);
    stored(&t, "r.mp4", "silent.mp4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k16_a_lost_object_is_not_sought_where_it_never_was() {
    let t = TestApp::start().await;
    told(&t, "r", &json!({"video": data_url("silent.mp4")})).await;
    stored(&t, "r.mp4", "silent.mp4").await;
    std::fs::remove_file(t.data.path().join("clips/r.mp4")).unwrap();
    let answer =
        t.client.post(format!("{}/api/v1/clips/r.mp4/fill", t.url)).bearer_auth(&t.token).send().await.unwrap();
    assert!(answer.status().is_success());
    let object = t.app.catalog.stored_object(&"r.mp4".parse().unwrap()).await.unwrap().unwrap();
    assert!(!object.has_source);
    t.app
        .catalog
        .object_lost(&object.key, object.epoch, t.app.clock.now(), t.app.clock.now(), "it is gone")
        .await
        .unwrap();
    t.app.engine.wake();
    let lost = t.until("r.mp4", ClipState::Lost).await;
    assert!(lost.last_error.unwrap().contains("there is no other copy"));
    // The provider may say it again.
    told(&t, "r", &json!({"video": data_url("silent.mp4")})).await;
    stored(&t, "r.mp4", "silent.mp4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k16_data_comes_in_through_the_proxy_and_when_it_is_asked_for() {
    let t = start(&[]).await;
    // A direct call: the app has its data, and so have we.
    let input = json!({"prompt": "a fox", "sync_mode": true});
    let reply = call(&t, Method::POST, "https://fal.run/fal-ai/veo3").json(&input).send().await.unwrap();
    let id = reply.headers()["x-fal-request-id"].to_str().unwrap().to_owned();
    let result: Value = reply.json().await.unwrap();
    assert!(result["video"]["url"].as_str().unwrap().starts_with("data:video/mp4;base64,"));
    stored(&t, &format!("{id}.mp4"), "moov-last.mp4").await;
    // The queue, by its webhook.
    let id = submit(&t, "fal-ai/veo3", &input).await["request_id"].as_str().unwrap().to_owned();
    stored(&t, &format!("{id}.mp4"), "moov-last.mp4").await;
    // The queue, without one.
    t.sim.set_webhook_faults(fal_sim::WebhookFaults { drop: true, ..Default::default() });
    let id = submit(&t, "fal-ai/flux/dev", &input).await["request_id"].as_str().unwrap().to_owned();
    let result = format!("https://queue.fal.run/fal-ai/flux/requests/{id}");
    let began = tokio::time::Instant::now();
    while call(&t, Method::GET, &result).send().await.unwrap().status() != 200 {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    stored(&t, &format!("{id}.png"), "still.png").await;
    // A stream of events.
    let reply = call(&t, Method::POST, "https://fal.run/fal-ai/sora-2/stream").json(&input).send().await.unwrap();
    let id = reply.headers()["x-fal-request-id"].to_str().unwrap().to_owned();
    assert!(reply.text().await.unwrap().contains("data:video/mp4;base64,"));
    stored(&t, &format!("{id}.mp4"), "moov-first.mp4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k16_data_that_nobody_waits_for_is_removed_in_time() {
    let t = TestApp::start().await;
    let store = t.data.path().join("clips");
    let left = store.join(format!(".clipkeep-inline-{}", "ab".repeat(32)));
    std::fs::write(&left, b"left by a kill").unwrap();
    let drift = |age| clipkeep::sweep::drift::DriftSettings {
        orphan_age: age,
        ..clipkeep::sweep::drift::DriftSettings::new(t.app.config.lease)
    };
    t.app.sweep.drift(drift(std::time::Duration::from_secs(3600))).await.unwrap();
    assert!(left.exists(), "its webhook may still be on its way");
    t.app.sweep.drift(drift(std::time::Duration::ZERO)).await.unwrap();
    assert!(!left.exists());
}
