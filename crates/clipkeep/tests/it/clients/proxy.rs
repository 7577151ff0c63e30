//! The JavaScript client, its `proxyUrl` ours.

use clipkeep_core::state::GenerationStatus;
use fal_sim::WebhookFaults;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::{App, assert_forwarded, assert_kept, assert_no_source, given, node, text};
use crate::support::app::TestApp;

const MODEL: &str = "fal-ai/wan/v2.2-a14b/text-to-video";

/// The given settings of a scenario, with these in it.
fn with(mut given: Value, more: Value) -> Value {
    given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    given
}

async fn until_over(t: &TestApp, request_id: &str) -> GenerationStatus {
    let began = Instant::now();
    loop {
        let generation = t.app.catalog.generation(&request_id.parse().unwrap()).await.unwrap().unwrap();
        if matches!(generation.status, GenerationStatus::Completed | GenerationStatus::Failed) {
            return generation.status;
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{generation:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_subscribes_is_given_our_url_and_it_plays() {
    let t = node(&[]).await;
    for (mode, access) in [("polling", "credentials"), ("streaming", "bearer")] {
        let app = App::js_by_proxy(&t).set("TENANT", "acme");
        let seen = app.run("subscribe", &with(given(MODEL), json!({"mode": mode, "access": access}))).await;
        assert_eq!(seen["seen"].as_array().unwrap().last(), Some(&json!("COMPLETED")), "{seen}");
        assert!(!seen["logs"].as_array().unwrap().is_empty());
        assert_no_source(&t, &seen);
        assert_kept(&t, text(&seen, "/data/video/url"), MODEL, Some("acme")).await;
        // What is no URL of a clip stays as fal said it.
        assert_eq!((&seen["data"]["seed"], &seen["data"]["prompt"]), (&json!(77), &given("")["input"]["prompt"]));
    }
    let calls = t.sim.calls();
    assert_forwarded(&calls, &t.token);
    for submit in calls.iter().filter(|call| call.method == "POST") {
        assert_eq!(
            (submit.path.as_str(), submit.json()),
            (&*format!("/queue/{MODEL}"), Some(given("")["input"].clone()))
        );
        assert!(submit.query.contains("fal_webhook=http"), "{}", submit.query);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_generation_is_known_before_its_id_is_told() {
    let t = node(&[("poll_after", "1h")]).await;
    t.sim.set_webhook_faults(WebhookFaults { drop: true, ..WebhookFaults::default() });
    let submitted = App::js_by_proxy(&t).set("TENANT", "acme").run("submit", &given(MODEL)).await;
    let row = t.api(&format!("/api/v1/generations/{}", text(&submitted, "/request_id"))).await;
    assert_eq!((text(&row, "/model"), text(&row, "/tenant")), (MODEL, "acme"));
    assert_eq!(row["input"], given("")["input"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_queue_works_as_without_us() {
    let t = node(&[]).await;
    let seen = App::js_by_proxy(&t).run("queue", &given("fal-ai/flux/dev")).await;
    assert_eq!(
        (text(&seen, "/last/status"), text(&seen, "/result/requestId")),
        ("COMPLETED", text(&seen, "/requestId"))
    );
    assert_eq!(text(&seen, "/last/logs/0/message"), "Loading model");
    assert_eq!(seen["streamed"].as_array().unwrap().last(), Some(&seen["last"]));
    assert_no_source(&t, &seen);
    for image in ["/result/data/images/0/url", "/result/data/images/1/url"] {
        assert_kept(&t, text(&seen, image), "fal-ai/flux/dev", None).await;
    }
    let calls = t.sim.calls();
    let submit = calls.iter().find(|call| call.method == "POST").unwrap();
    let header = |name| submit.header(name).unwrap();
    assert_eq!((header("x-fal-queue-priority"), header("x-fal-runner-hint")), ("low", "here"));
    assert_eq!(header("x-fal-request-timeout"), "30");
    assert!(header("x-fal-object-lifecycle-preference").contains("86400"));
    assert_forwarded(&calls, &t.token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_generation_is_over() {
    let t = node(&[("poll_after", "50ms")]).await;
    let seen = App::js_by_proxy(&t).run("cancel", &given(MODEL)).await;
    assert!(t.sim.calls().iter().any(|call| call.method == "PUT" && matches!(call.status(), 200 | 202)));
    assert_eq!(until_over(&t, text(&seen, "/requestId")).await, GenerationStatus::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_call_and_a_stream_are_kept_too() {
    let t = node(&[]).await;
    let app = App::js_by_proxy(&t).set("TENANT", "acme");
    let seen = app.run("run", &given("fal-ai/kling-video/v3/pro/text-to-video")).await;
    assert_no_source(&t, &seen);
    let url = text(&seen, "/data/video/url");
    assert!(url.contains(text(&seen, "/requestId")), "{seen}");
    assert_kept(&t, url, "fal-ai/kling-video/v3/pro/text-to-video", Some("acme")).await;

    let seen = app.run("stream", &given("fal-ai/sora-2/text-to-video")).await;
    assert_no_source(&t, &seen);
    let events = seen["events"].as_array().unwrap();
    assert_eq!((events.len(), events.last()), (5, Some(&seen["done"])), "{seen}");
    for file in ["/done/video/url", "/done/thumbnail/url"] {
        assert_kept(&t, text(&seen, file), "fal-ai/sora-2/text-to-video", Some("acme")).await;
    }
    assert_forwarded(&t.sim.calls(), &t.token);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_any_size_and_tokens_pass() {
    let t = node(&[]).await;
    let app = App::js_by_proxy(&t);
    for (len, name) in [(100_000, "a cat.png"), (92 << 20, "big.png")] {
        let seen = app.run("upload", &json!({"len": len, "name": name, "type": "image/png"})).await;
        let media = t.sim.media(text(&seen, "/url")).unwrap();
        assert_eq!((media.len(), media.sha256().as_str()), (len, text(&seen, "/sha256")));
    }
    // A file within the input: uploaded, and its URL in the row.
    let seen = app.run("runWithBlob", &with(given(MODEL), json!({"text": "the bytes of an image"}))).await;
    let row = t.api(&format!("/api/v1/generations/{}", text(&seen, "/requestId"))).await;
    let image = t.sim.media(text(&row, "/input/image_url")).unwrap();
    assert_eq!(image.chunk(0..image.len()), "the bytes of an image");
    // The client fetches a token from us, and streams from fal with it.
    let seen = app.run("stream", &with(given(MODEL), json!({"mode": "client"}))).await;
    assert_eq!(seen["events"].as_array().unwrap().len(), 5, "{seen}");
    assert_forwarded(&t.sim.calls(), &t.token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_of_the_apps_own_is_kept() {
    let t = node(&[]).await;
    let hook = "https://app.example.com/hook?a=b&c=d";
    App::js_by_proxy(&t).run("submit", &with(given(MODEL), json!({"webhookUrl": hook}))).await;
    let query = t.sim.calls().pop().unwrap().query;
    assert_eq!(query, "fal_webhook=https%3A%2F%2Fapp.example.com%2Fhook%3Fa%3Db%26c%3Dd");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_whose_webhook_is_lost_is_found_by_the_sweep() {
    let t = node(&[("poll_after", "50ms")]).await;
    t.sim.set_webhook_faults(WebhookFaults { drop: true, ..WebhookFaults::default() });
    let submitted = App::js_by_proxy(&t).set("TENANT", "acme").run("submit", &given(MODEL)).await;
    let request_id = text(&submitted, "/request_id");
    assert_eq!(until_over(&t, request_id).await, GenerationStatus::Completed);
    assert!(t.sim.sent().is_empty());
    assert_kept(&t, &t.link(&format!("{request_id}.mp4")), MODEL, Some("acme")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_keep_fals_urls_where_that_is_set() {
    let t = node(&[("rewrite_results", "false")]).await;
    let seen = App::js_by_proxy(&t).run("subscribe", &given(MODEL)).await;
    assert!(t.sim.media(text(&seen, "/data/video/url")).is_some());
    assert_kept(&t, &t.link(&format!("{}.mp4", text(&seen, "/requestId"))), MODEL, None).await;
}
