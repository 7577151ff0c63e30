//! Invariant 1 and cases 29-33: what a webhook is answered, and what it leaves.

use std::{sync::Arc, time::Duration};

use clipkeep_core::state::{ClipState, GenerationStatus};
use fal_sim::{Delivery, Fault, Faults, Media, Signer};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::app::TestApp;

fn now() -> i64 {
    use clipkeep_core::time::Clock;
    clipkeep::clock::SystemClock.now().secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn i01_a_webhook_is_answered_while_its_source_stands_still() {
    let t = TestApp::start().await;
    let slow = Faults::always(Fault { delay_ms: 3_600_000, ..Fault::default() });
    let source = t.sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), slow);
    t.hook("warm-up", &source, "").await;
    let began = tokio::time::Instant::now();
    assert_eq!(t.hook("slow", &source, "").await.status(), 200);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(
        t.app.catalog.generation(&"slow".parse().unwrap()).await.unwrap().unwrap().status,
        GenerationStatus::Completed
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn case_31_what_fal_signed_for_another_account_leaves_no_trace() {
    for (ids, status) in [("", 200), ("auth0|a, github|1234567", 200), ("github|123456, github|12345678", 401)] {
        let t = TestApp::with(&[("fal_user_ids", ids.to_owned())]).await;
        let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
        assert_eq!(t.hook("r", &source, "?tenant=acme").await.status(), status, "{ids}");
        assert_eq!(t.app.catalog.generation(&"r".parse().unwrap()).await.unwrap().is_some(), status == 200, "{ids}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_31_forged_stale_and_altered_webhooks_leave_no_trace() {
    let t = TestApp::start().await;
    let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    let body = t.sim.webhook_body("forged", &json!({"video": {"url": source, "content_type": "video/mp4"}}));
    let signed = |at: i64| t.sim.signer().sign("forged", body.clone(), at);
    let without = |name: &str| {
        let mut delivery = signed(now());
        delivery.headers.retain(|(n, _)| *n != name);
        delivery
    };
    let with = |name: &'static str, value: &str| {
        let mut delivery = without(name);
        delivery.headers.push((name, value.to_owned()));
        delivery
    };
    let altered = |change: fn(&mut Vec<u8>)| {
        let mut delivery = signed(now());
        change(&mut delivery.body);
        delivery
    };
    let reserialised = |body: &mut Vec<u8>| *body = serde_json::from_slice::<Value>(body).unwrap().to_string().into();
    let deliveries: Vec<(&str, Delivery)> = vec![
        ("too old", signed(now() - 302)),
        ("from the future", signed(now() + 302)),
        ("another key", Signer::new(99).sign("forged", body.clone(), now())),
        ("trailing newline", altered(|body| body.push(b'\n'))),
        ("re-serialised", altered(reserialised)),
        ("another request id", with("x-fal-webhook-request-id", "other")),
        ("another user", with("x-fal-webhook-user-id", "github|7")),
        ("no signature", without("x-fal-webhook-signature")),
        ("no timestamp", without("x-fal-webhook-timestamp")),
        ("no user", without("x-fal-webhook-user-id")),
        ("a signature of zeros", with("x-fal-webhook-signature", &"0".repeat(128))),
        ("half a signature", with("x-fal-webhook-signature", "ab")),
    ];
    for (what, delivery) in deliveries {
        assert_eq!(t.deliver(delivery, "").await.status(), 401, "{what}");
    }
    assert!(t.app.catalog.generation(&"forged".parse().unwrap()).await.unwrap().is_none());
    assert!(t.app.catalog.clip(&"forged.mp4".parse().unwrap()).await.unwrap().is_none());
    assert!(t.sim.requests().is_empty());
    for (id, skew) in [("early", 298), ("late", -298)] {
        let body = t.sim.webhook_body(id, &json!({}));
        assert_eq!(t.deliver(t.sim.signer().sign(id, body, now() + skew), "").await.status(), 200, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_31_keys_are_fetched_once_and_again_when_none_fits() {
    let t = TestApp::start().await;
    for id in ["a", "b", "c"] {
        assert_eq!(t.hook_payload(id, &json!({}), "").await.status(), 200);
    }
    assert_eq!(t.sim.jwks_requests(), 1);
    let body = t.sim.webhook_body("x", &json!({}));
    for _ in 0..5 {
        let forged = Signer::new(99).sign("x", body.clone(), now());
        assert_eq!(t.deliver(forged, "").await.status(), 401);
    }
    assert!(t.sim.jwks_requests() <= 2, "strangers must not make us ask: {}", t.sim.jwks_requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn case_31_without_keys_the_provider_is_told_to_come_again() {
    let t = TestApp::start().await;
    t.sim.set_jwks_away(true);
    let answer = t.hook_payload("a", &json!({}), "").await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    t.sim.set_jwks_away(false);
    assert_eq!(t.hook_payload("a", &json!({}), "").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_29_a_hundred_duplicates_are_one_clip_one_object_one_download() {
    let t = Arc::new(TestApp::start().await);
    let media = Media::named("moov-first.mp4");
    let source = t.sim.add_file("a.mp4", media.clone());
    let answers = join_all((0..100).map(|_| t.hook("dup", &source, ""))).await;
    assert!(answers.iter().all(|answer| answer.status() == 200));
    t.until("dup.mp4", ClipState::Stored).await;
    assert_eq!(t.hook("dup", &source, "").await.status(), 200);
    assert_eq!(t.sim.requests_for(&source).len(), 1);
    assert_eq!(t.sim.bytes_served(&source), media.len());
    let objects = std::fs::read_dir(t.data.path().join("clips")).unwrap();
    let objects = objects.filter(|entry| entry.as_ref().unwrap().path().is_file()).count();
    assert_eq!(objects, 1);
    assert_eq!(t.api("/api/v1/clips").await["clips"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_32_every_shape_of_payload_is_recorded_as_what_it_is() {
    let t = TestApp::start().await;
    let video = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    let image = t.sim.add_file("a.png", Media::named("still.png"));
    let nested = json!({"out": [[{"url": video, "content_type": "video/mp4"}]], "thumb": {"url": image, "content_type": null},
        "inline": {"url": "data:image/png;base64,AAAA"}});
    assert_eq!(t.hook_payload("nested", &nested, "").await.status(), 200);
    t.until("nested.mp4", ClipState::Stored).await;
    t.until("nested.2.png", ClipState::Stored).await;
    // It is said to be an image, and is none: its bytes are kept, and that is told.
    t.until("nested.1.png", ClipState::Rejected).await;
    let plain = json!({"request_id": "plain", "result": {"video": {"url": video, "content_type": "video/mp4"}}});
    assert_eq!(t.deliver(t.sim.sign("plain", plain.to_string().into_bytes()), "").await.status(), 200);
    t.until("plain.mp4", ClipState::Stored).await;
    for (id, body, status, words) in [
        (
            "failed",
            json!({"request_id": "failed", "status": "ERROR", "error": "Invalid status code: 422", "payload": null}),
            "failed",
            "422",
        ),
        (
            "empty",
            json!({"request_id": "empty", "status": "OK", "payload": null, "payload_error": "not serializable"}),
            "result_missing",
            "not serializable",
        ),
    ] {
        assert_eq!(t.deliver(t.sim.sign(id, body.to_string().into_bytes()), "").await.status(), 200);
        let generation = t.api(&format!("/api/v1/generations/{id}")).await;
        assert_eq!(generation["status"], status);
        assert!(generation["error"].as_str().unwrap().contains(words), "{generation}");
        assert_eq!(generation["clips"], json!([]));
    }
    for body in [&b"{"[..], b"[]", b"\xff\xfe", b"{\"status\":\"OK\"}"] {
        assert_eq!(t.deliver(t.sim.sign("odd", body.to_vec()), "").await.status(), 200);
    }
    assert_eq!(t.api("/api/v1/generations/odd").await["status"], "unreadable");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_32_another_source_for_a_clip_that_was_lost_brings_it_back() {
    let t = TestApp::with(&[("not_found_attempts", "1".to_owned())]).await;
    let dead = t.sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(Fault::status(404)));
    t.hook("again", &dead, "").await;
    t.until("again.mp4", ClipState::Lost).await;
    let alive = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    t.hook("again", &alive, "").await;
    t.until("again.mp4", ClipState::Stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_of_hook_and_registration_are_merged_without_loss() {
    let t = TestApp::start().await;
    let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    let register =
        |body: Value| t.client.post(format!("{}/api/v1/generations", t.url)).bearer_auth(&t.token).json(&body).send();
    let before =
        register(json!({"request_id": "r1", "model": "m1", "prompt": "é", "input": {"prompt": "é", "seed": 3}}))
            .await
            .unwrap();
    assert_eq!(before.status(), 200);
    let before: Value = before.json().await.unwrap();
    assert_eq!(before["status"], "pending");
    assert_eq!(before["final_url"], format!("{}/v/r1.mp4", t.url));
    // Known, not there yet.
    let early = t.client.get(t.link("r1.mp4")).send().await.unwrap();
    assert_eq!(early.status(), 503);
    assert!(early.headers().contains_key("retry-after"));
    t.hook("r1", &source, "?model=m2&tenant=acme").await;
    t.until("r1.mp4", ClipState::Stored).await;
    let clip = t.api("/api/v1/clips/r1.mp4").await;
    assert_eq!(
        (&clip["model"], &clip["prompt"], &clip["tenant"], &clip["seed"]),
        (&json!("m1"), &json!("é"), &json!("acme"), &json!(3))
    );
    t.hook("r2", &source, "?prompt=from%20hook").await;
    register(json!({"request_id": "r2", "prompt": "other", "model": "m"})).await.unwrap();
    let clip = t.api("/api/v1/clips/r2.mp4").await;
    assert_eq!((&clip["prompt"], &clip["model"]), (&json!("from hook"), &json!("m")));
    let bad = register(json!({"request_id": "../x"})).await.unwrap();
    assert_eq!(
        (bad.status().as_u16(), bad.headers()["content-type"].to_str().unwrap()),
        (400, "application/problem+json")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_demand_waits_for_a_viewer_and_deferred_for_its_time() {
    let t = TestApp::start().await;
    for (id, policy) in [("od", "on_demand"), ("df", "deferred")] {
        let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
        t.hook(id, &source, &format!("?policy={policy}")).await;
        t.hook(&format!("{id}-eager"), &t.sim.add_file("b.mp4", Media::named("silent.mp4")), "").await;
        t.until(&format!("{id}-eager.mp4"), ClipState::Stored).await;
        assert_eq!(t.sim.requests_for(&source).len(), 0);
        let key = format!("{id}.mp4");
        let answer = t.client.get(t.link(&key)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.bytes().await.unwrap().len() as u64, Media::named("silent.mp4").len());
        t.until(&key, ClipState::Stored).await;
        assert_eq!(t.client.get(t.link(&key)).send().await.unwrap().status(), 200);
    }
    let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    t.hook("by-hand", &source, "?policy=on_demand").await;
    let fill =
        t.client.post(format!("{}/api/v1/clips/by-hand.mp4/fill", t.url)).bearer_auth(&t.token).send().await.unwrap();
    assert_eq!(fill.status(), 202);
    t.until("by-hand.mp4", ClipState::Stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_limited_and_a_catalogue_that_is_away_is_a_503() {
    let t = TestApp::with(&[("hook_max_body", "1MiB".to_owned())]).await;
    let big = t.sim.webhook_body("big", &json!({"x": "a".repeat(2 << 20)}));
    assert_eq!(t.deliver(t.sim.sign("big", big), "").await.status(), 413);
    assert_eq!(t.hook_payload("q", &json!({}), "?policy=sometimes").await.status(), 400);

    let url = crate::support::postgres::database().await;
    let name = url.rsplit_once('/').unwrap().1.to_owned();
    let t = TestApp::with(&[("database", url.clone())]).await;
    assert_eq!(t.hook_payload("a", &json!({}), "").await.status(), 200);
    let admin = crate::support::postgres::connect(&url.replace(&name, "postgres")).await;
    admin.batch_execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await.unwrap();
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    admin.batch_execute(&end).await.unwrap();
    assert_eq!(t.hook_payload("b", &json!({}), "").await.status(), 503);
    admin.batch_execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await.unwrap();
    assert_eq!(t.hook_payload("b", &json!({}), "").await.status(), 200);
}
