//! The queue: submit, status, result, cancel.

use std::time::Duration;

use clipkeep_core::{prompt::prompt_hash, state::ClipState};
use fal_sim::WebhookFaults;
use reqwest::Method;
use serde_json::{Value, json};

use super::{call, clean, generation, media, play, start, submit};
use crate::support::receiver::Receiver;

const QUEUE: &str = "https://queue.fal.run";

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_is_in_the_catalogue_when_the_app_hears_of_it() {
    let t = start(&[]).await;
    let input = json!({"prompt": "a red fox", "seed": 7, "image_url": "https://app.example.com/a.png", "n": 1.5});
    let request = call(&t, Method::POST, "https://queue.fal.run/fal-ai/veo3/fast?fal_max_queue_length=9")
        .header("x-clipkeep-tenant", "acme")
        .header("x-fal-queue-priority", "low")
        .header("cookie", "session=1")
        .header("x-forwarded-for", "10.0.0.1")
        .json(&input);
    let reply = request.send().await.unwrap();
    assert_eq!(reply.status(), 200);
    let reply: Value = serde_json::from_str(&clean(&t, reply).await).unwrap();
    let known = generation(&t, &reply["request_id"]).await.unwrap();
    assert_eq!(known.facts.model.as_deref(), Some("fal-ai/veo3/fast"));
    assert_eq!(known.facts.prompt.as_deref(), Some("a red fox"));
    assert_eq!(known.facts.prompt_hash, Some(prompt_hash("a red fox")));
    assert_eq!(known.facts.tenant.as_ref().map(|tenant| tenant.as_str()), Some("acme"));
    assert_eq!((known.facts.seed, known.facts.input), (Some(7_i64.into()), Some(input.clone().into())));
    let calls = t.sim.calls();
    let [call] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((call.path.as_str(), call.json()), ("/queue/fal-ai/veo3/fast", Some(input)));
    assert_eq!(call.header("authorization"), Some(&*format!("Key {}", super::KEY)));
    assert_eq!(call.header("x-fal-queue-priority"), Some("low"));
    for dropped in ["cookie", "x-forwarded-for", "x-clipkeep-tenant", "x-fal-target-url"] {
        assert_eq!(call.header(dropped), None, "{dropped}");
    }
    let hook =
        format!("{}/hooks/fal?model=fal-ai%2Fveo3%2Ffast&prompt_hash={}&tenant=acme", t.url, prompt_hash("a red fox"));
    let encoded: String = url::form_urlencoded::byte_serialize(hook.as_bytes()).collect();
    assert_eq!(call.query, format!("fal_max_queue_length=9&fal_webhook={encoded}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_holds_our_url_and_that_plays() {
    let t = start(&[]).await;
    let reply = submit(&t, "fal-ai/sora-2/text-to-video", &json!({"prompt": "a fox"})).await;
    let id = reply["request_id"].as_str().unwrap();
    let clip = t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    assert_eq!(clip.facts.prompt.as_deref(), Some("a fox"));
    for target in
        [format!("{QUEUE}/fal-ai/sora-2/requests/{id}"), format!("{QUEUE}/fal-ai/sora-2/requests/{id}/response")]
    {
        let result = call(&t, Method::GET, &target).send().await.unwrap();
        assert_eq!((result.status().as_u16(), &result.headers()["x-fal-request-id"]), (200, &id.parse().unwrap()));
        let result: Value = serde_json::from_str(&clean(&t, result).await).unwrap();
        assert!(result["video"]["url"].as_str().unwrap().starts_with(&format!("{}/v/{id}.mp4?", t.url)), "{result}");
        assert_eq!(result["video_id"], "video_1");
        assert_eq!(play(&t, &result["video"]["url"]).await, media("moov-first.mp4"));
        assert_eq!(play(&t, &result["thumbnail"]["url"]).await, media("still.jpg"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_recorded_though_its_webhook_never_comes() {
    let t = start(&[("poll_after", "1h")]).await;
    t.sim.set_webhook_faults(WebhookFaults { drop: true, ..WebhookFaults::default() });
    let reply = submit(&t, "fal-ai/veo3", &json!({"prompt": "a fox"})).await;
    let target = format!("{QUEUE}/fal-ai/veo3/requests/{}", reply["request_id"].as_str().unwrap());
    let result = loop {
        let result = call(&t, Method::GET, &target).send().await.unwrap();
        if result.status() == 200 {
            break result;
        }
        assert_eq!(result.status(), 400);
        assert_eq!(clean(&t, result).await, r#"{"detail":"Request is still in progress"}"#);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let result: Value = serde_json::from_str(&clean(&t, result).await).unwrap();
    let key = format!("{}.mp4", reply["request_id"].as_str().unwrap());
    t.until(&key, ClipState::Stored).await;
    play(&t, &result["video"]["url"]).await;
    let history = t.api(&format!("/api/v1/clips/{key}/history")).await.to_string();
    assert!(history.contains("through the proxy"), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_finds_what_nobody_brings() {
    let t = start(&[("poll_after", "0s"), ("sweep_interval", "50ms")]).await;
    t.sim.set_webhook_faults(WebhookFaults { drop: true, ..WebhookFaults::default() });
    let reply = submit(&t, "fal-ai/flux-2/edit", &json!({"prompt": "a fox", "num_images": 2})).await;
    let key = format!("{}.png", reply["request_id"].as_str().unwrap());
    let clip = t.until(&key, ClipState::Stored).await;
    assert_eq!(
        (clip.facts.prompt.as_deref(), clip.facts.model.as_deref()),
        (Some("a fox"), Some("fal-ai/flux-2/edit"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apps_own_webhook_is_kept() {
    let t = start(&[]).await;
    let app = Receiver::start().await;
    let encoded: String = url::form_urlencoded::byte_serialize(app.url.as_bytes()).collect();
    let target = format!("{QUEUE}/fal-ai/veo3?fal_webhook={encoded}");
    let reply = call(&t, Method::POST, &target).json(&json!({"prompt": "x"})).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(t.sim.calls()[0].query, format!("fal_webhook={encoded}"));
    app.until("called", |got| !got.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_stream_comes_event_by_event_and_a_cancel_passes() {
    let t = start(&[]).await;
    let reply = submit(&t, "fal-ai/veo3", &json!({"prompt": "x"})).await;
    let request = format!("{QUEUE}/fal-ai/veo3/requests/{}", reply["request_id"].as_str().unwrap());
    let status = call(&t, Method::GET, &format!("{request}/status?logs=1")).send().await.unwrap();
    assert_eq!(status.status(), 202);
    let mut stream = call(&t, Method::GET, &format!("{request}/status/stream?logs=0")).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let first = stream.chunk().await.unwrap().unwrap();
    let first = String::from_utf8_lossy(&first).into_owned();
    assert!(first.starts_with("data:") && !first.contains("COMPLETED"), "{first}");
    let mut rest = String::new();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        rest.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(rest.contains("COMPLETED"), "{rest}");
    let late = call(&t, Method::PUT, &format!("{request}/cancel")).send().await.unwrap();
    assert_eq!(
        (late.status().as_u16(), late.text().await.unwrap()),
        (400, r#"{"status":"ALREADY_COMPLETED"}"#.to_owned())
    );
    let paths: Vec<_> = t.sim.calls().into_iter().map(|call| (call.method, call.query)).collect();
    assert_eq!(
        paths[1..],
        [("GET", "logs=1"), ("GET", "logs=0"), ("PUT", "")].map(|(m, q)| (m.to_owned(), q.to_owned()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_outputs_live_is_known_from_the_submit() {
    let t = start(&[("policy", "on_demand")]).await;
    let request = call(&t, Method::POST, &format!("{QUEUE}/fal-ai/veo3"))
        .header("x-fal-object-lifecycle-preference", r#"{"expiration_duration_seconds": 3600}"#)
        .json(&json!({"prompt": "x"}));
    let reply: Value = request.send().await.unwrap().json().await.unwrap();
    let clip = t.until(&format!("{}.mp4", reply["request_id"].as_str().unwrap()), ClipState::Waiting).await;
    let expires = clip.source_expires_at.unwrap();
    assert_eq!(expires.since(clip.created_at), Duration::from_secs(3600));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_generation_is_told_in_fals_words_and_recorded() {
    let t = start(&[]).await;
    let error = Some("not that".to_owned());
    t.sim.set_webhook_faults(WebhookFaults { drop: true, error, ..WebhookFaults::default() });
    let reply = submit(&t, "fal-ai/veo3", &json!({"prompt": "x"})).await;
    let target = format!("{QUEUE}/fal-ai/veo3/requests/{}", reply["request_id"].as_str().unwrap());
    let began = tokio::time::Instant::now();
    loop {
        let result = call(&t, Method::GET, &target).send().await.unwrap();
        if result.status() == 422 {
            assert!(result.text().await.unwrap().contains("not that"));
            break;
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let failed = generation(&t, &reply["request_id"]).await.unwrap();
    assert!(failed.error.unwrap().contains("not that"));
}
