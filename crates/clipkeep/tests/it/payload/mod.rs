//! Invariant 11: what was acknowledged is not forgotten, in whatever shape it
//! was told.

mod inline;
mod kinds;
mod unread;

use clipkeep_core::state::{ClipState, GenerationStatus};
use fal_sim::{Media, WebhookFaults};
use serde_json::{Value, json};

use crate::{cli::clipkeep, support::app::TestApp};

/// The bytes of a simulator's file.
fn bytes(name: &str) -> Vec<u8> {
    let media = Media::named(name);
    media.chunk(0..media.len()).to_vec()
}

/// What a viewer gets of a clip.
async fn viewed(t: &TestApp, key: &str) -> Vec<u8> {
    let answer = t.client.get(t.link(key)).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{key}");
    answer.bytes().await.unwrap().to_vec()
}

async fn status(t: &TestApp, id: &str) -> GenerationStatus {
    t.app.catalog.generation(&id.parse().unwrap()).await.unwrap().unwrap().status
}

/// Tells of a result; answers how many clips came of it.
async fn told(t: &TestApp, id: &str, payload: &Value) -> u64 {
    let answer = t.hook_payload(id, payload, "").await;
    assert_eq!(answer.status(), 200, "{payload}");
    answer.json::<Value>().await.unwrap()["clips"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn k08_k10_an_output_is_kept_under_any_name_and_of_any_said_type() {
    let t = TestApp::start().await;
    let clip = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    let bare = t.sim.add_file("abc", Media::named("silent.mp4"));
    let payloads = [
        json!({"video": clip}),
        json!({"My final cut": clip}),
        json!({"output": {"take 1": [[clip]]}}),
        json!({"final": bare}),
        json!({"video": {"url": bare, "content_type": "application/mp4"}}),
        json!({"thing": {"url": bare, "content_type": "application/octet-stream"}}),
        json!({"thing": {"url": bare, "content_type": null, "file_name": "x.mp4"}}),
        json!({"result": json!({"video": {"url": clip}}).to_string()}),
        json!({"video": format!(" {}\n", clip.replace("http:", "HTTP:"))}),
    ];
    for (number, payload) in payloads.iter().enumerate() {
        let id = format!("r{number}");
        assert_eq!(told(&t, &id, payload).await, 1, "{payload}");
        let stored = t.until(&format!("{id}.mp4"), ClipState::Stored).await;
        assert_eq!(stored.sealed.unwrap().sha256, Media::named("silent.mp4").sha256(), "{payload}");
        assert_eq!(status(&t, &id).await, GenerationStatus::Completed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k09_k11_odd_and_long_urls_are_asked_for_as_browsers_do() {
    let t = TestApp::start().await;
    let plain = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    t.sim.add_file_at("/files/b/My%20Clip.mp4", Media::named("silent.mp4"));
    t.sim.add_file_at("/files/%C3%A9/a%22b.mp4", Media::named("silent.mp4"));
    let media = t.sim.media_url();
    let urls = [
        format!("{media}/files/b/My Clip.mp4"),
        format!("{media}/files/é/a\"b.mp4"),
        format!("{media}\\files\\b\\My\tClip.mp4").replace("My\t", "My "),
        format!("{plain}?jwt={}", "x".repeat(16 * 1024)),
    ];
    for (number, url) in urls.iter().enumerate() {
        let id = format!("r{number}");
        assert_eq!(told(&t, &id, &json!({"video": {"url": url, "content_type": "video/mp4"}})).await, 1, "{url:.80}");
        t.until(&format!("{id}.mp4"), ClipState::Stored).await;
        assert_eq!(
            t.hook_payload(&id, &json!({"video": url}), "").await.json::<Value>().await.unwrap()["status"],
            "duplicate"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k10_what_turns_out_to_be_no_media_is_told_and_harms_nothing() {
    let t = TestApp::start().await;
    let clip = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    let page = t.sim.add_file("page", Media::new("text/html", "<html><p>not here</p></html>".into()));
    assert_eq!(told(&t, "r", &json!({"thing": page, "video": {"url": clip}})).await, 2);
    t.until("r.mp4", ClipState::Stored).await;
    let rejected = t.until("r.1.mp4", ClipState::Rejected).await;
    assert!(rejected.last_error.unwrap().contains("HTML"));
    assert_eq!(status(&t, "r").await, GenerationStatus::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn k12_a_result_has_the_same_names_by_webhook_and_when_asked_for() {
    let t = TestApp::start().await;
    let [video, mask, input] = ["v.mp4", "m.mp4", "i.mp4"].map(|name| t.sim.add_file(name, Media::named("silent.mp4")));
    let request = json!({"request_id": "r", "model": "fal-ai/x", "input": {"prompt": "a fox", "video_url": input}});
    t.register(&request).await;
    let payload = json!({"mask_video": {"url": mask}, "video": {"url": video}, "original": {"url": input}});
    assert_eq!(told(&t, "r", &payload).await, 2);
    let rows = t.api("/api/v1/clips?request_id=r").await;
    let mut named: Vec<_> =
        rows["clips"].as_array().unwrap().iter().map(|row| (row["key"].clone(), row["source_url"].clone())).collect();
    named.sort_by_key(|(key, _)| key.to_string());
    assert_eq!(named, [(json!("r.1.mp4"), json!(mask)), (json!("r.mp4"), json!(video))]);
    assert_eq!(t.hook_payload("r", &payload, "").await.json::<Value>().await.unwrap()["status"], "duplicate");
}

#[tokio::test(flavor = "multi_thread")]
async fn k14_what_python_writes_is_read_and_its_bytes_are_what_was_signed() {
    let t = TestApp::start().await;
    let clip = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    for (number, extra) in
        ["\"score\": NaN", "\"loss\": [-Infinity, Infinity,]", "\"note\": \"\\ud83d \u{1}\""].iter().enumerate()
    {
        let id = format!("r{number}");
        let body = format!(
            r#"{{"error": null, "payload": {{{extra}, "video": {{"url": "{clip}"}}}}, "request_id": "{id}", "status": "OK"}}"#
        );
        assert_eq!(t.deliver(t.sim.sign(&id, body.clone().into_bytes()), "").await.status(), 200, "{extra}");
        t.until(&format!("{id}.mp4"), ClipState::Stored).await;
        // Nothing that is lenient comes before the signature.
        let mut forged = t.sim.sign(&id, body.into_bytes());
        forged.body.insert(0, b' ');
        assert_eq!(t.deliver(forged, "").await.status(), 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k14_a_signed_body_that_cannot_be_read_is_asked_for_at_the_provider() {
    let t = TestApp::start().await;
    t.sim.set_webhook_faults(WebhookFaults { drop: true, ..WebhookFaults::default() });
    let submit = format!("{}/fal-ai/veo3?fal_webhook=http://127.0.0.1:9/x", t.sim.queue_url());
    let reply: Value =
        t.client.post(submit).json(&json!({"prompt": "a fox"})).send().await.unwrap().json().await.unwrap();
    let id = reply["request_id"].as_str().unwrap().to_owned();
    let body = format!(r#"{{"request_id": "{id}", "status": "OK", "payload": {{"video": {{"url": "http"#);
    let answer = t.deliver(t.sim.sign(&id, body.into_bytes()), "?model=fal-ai/veo3").await;
    assert_eq!(answer.status(), 200);
    let began = tokio::time::Instant::now();
    while status(&t, &id).await != GenerationStatus::Completed {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{:?}", status(&t, &id).await);
        t.app.sweep.round().await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    assert!(t.app.catalog.unreads(None, None, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn k15_a_large_seed_is_the_same_everywhere() {
    const SEED: &str = "18446744073709551615";
    let t = TestApp::start().await;
    let clip = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    let seed: Value = serde_json::from_str(SEED).unwrap();
    assert_eq!(told(&t, "r", &json!({"video": {"url": clip}, "seed": seed})).await, 1);
    t.register(&json!({"request_id": "s", "input": {"seed": 9_223_372_036_854_775_808_u64}})).await;
    assert_eq!(t.api("/api/v1/generations/s").await["seed"].to_string(), "9223372036854775808");
    t.until("r.mp4", ClipState::Stored).await;
    let found = t.api(&format!("/api/v1/clips?seed={SEED}")).await;
    assert_eq!((found["clips"].as_array().unwrap().len(), found["clips"][0]["seed"].to_string().as_str()), (1, SEED));
    assert_eq!(t.api("/api/v1/clips?seed=9223372036854775807").await["clips"], json!([]));
    let (code, out, _) = clipkeep(&t.sim, t.data.path(), &["--json", "find", "--seed", SEED], &[]);
    assert!(
        code == 0 && out.contains(&format!("\"seed\":{SEED}")) || out.contains(&format!("\"seed\": {SEED}")),
        "{out}"
    );
    for ending in ["csv", "jsonl"] {
        let file = t.data.path().join(format!("x.{ending}"));
        let path = file.display().to_string();
        assert_eq!(clipkeep(&t.sim, t.data.path(), &["find", "--export", &path], &[]).0, 0);
        assert!(std::fs::read_to_string(file).unwrap().contains(SEED), "{ending}");
    }
}
