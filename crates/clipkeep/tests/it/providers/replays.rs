//! Webhooks that somebody sends again, to URLs of his own.

use clipkeep_core::state::ClipState;
use fal_sim::{Delivery, Media, SimOptions};
use serde_json::{Value, json};

use super::{deliver, node, standard::signed_by_secret};
use crate::support::app::TestApp;

const QUERIES: [&str; 6] = [
    "?public=1",
    "?tenant=eve",
    "?tenant=eve&public=true&model=m&prompt=theirs",
    "?policy=on_demand&source_lifetime=1",
    "?prompt_hash=0000000000000000000000000000000000000000000000000000000000000000",
    "",
];

/// A delivery that makes `r` known, by each hook.
fn deliveries(t: &TestApp, source: &str) -> [(&'static str, Delivery); 3] {
    let payload = json!({"video": {"url": source, "content_type": "video/mp4"}});
    let prediction = t.sim.replicate().prediction("r", "succeeded", &json!({"prompt": "a fox"}), &json!(source));
    let data = json!({"provider": "luma", "request_id": "r", "outputs": [source]});
    let standard = json!({"type": "generation.completed", "timestamp": "2026-11-24T10:00:00Z", "data": data});
    [
        ("fal", t.sim.sign("r", t.sim.webhook_body("r", &payload))),
        ("replicate", t.sim.replicate().sign("msg_1", prediction.to_string().into_bytes())),
        ("standard", signed_by_secret(t, standard.to_string().as_bytes())),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn h02_the_same_signed_webhook_sent_again_to_another_url_changes_nothing() {
    for hook in 0..3 {
        let t = node(SimOptions::default(), &[]).await;
        let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
        let (name, delivery) = deliveries(&t, &source)[hook].clone();
        assert_eq!(deliver(&t, name, delivery.clone()).await.status(), 200, "{name}");
        t.until("r.mp4", ClipState::Stored).await;
        let rows = async || (t.api("/api/v1/generations/r").await, t.api("/api/v1/clips/r.mp4/history").await);
        let before = rows().await;
        for query in QUERIES {
            let answer = deliver(&t, &format!("{name}{query}"), delivery.clone()).await;
            let (status, said) = (answer.status(), answer.json::<Value>().await.unwrap());
            assert_eq!((status.as_u16(), &said["status"]), (200, &json!("duplicate")), "{name}{query}");
            assert_eq!(rows().await, before, "{name}{query}");
            let bare = t.client.get(format!("{}/v/r.mp4", t.url)).send().await.unwrap();
            assert_eq!(bare.status(), 403, "{name}{query}");
        }
        t.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h02_the_first_delivery_and_its_retries_tell_what_their_url_says() {
    for hook in 0..3 {
        let t = node(SimOptions::default(), &[]).await;
        let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
        let (name, delivery) = deliveries(&t, &source)[hook].clone();
        for _ in 0..3 {
            let answer = deliver(&t, &format!("{name}?tenant=acme&public=1"), delivery.clone()).await;
            assert_eq!(answer.status(), 200, "{name}");
        }
        t.until("r.mp4", ClipState::Stored).await;
        let row = t.api("/api/v1/clips/r.mp4").await;
        assert_eq!((&row["tenant"], &row["public"]), (&json!("acme"), &json!(true)), "{name}");
        t.stop().await;
    }
}
