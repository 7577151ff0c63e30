//! Outputs in shapes that are not fal's own, from the webhook to the store.

use clipkeep_core::state::{ClipState, GenerationStatus};
use data_encoding::{BASE64, HEXLOWER};
use fal_sim::Media;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::{status, told, viewed};
use crate::support::app::TestApp;

/// Plain samples, of which only their sender says what they are.
fn samples() -> Vec<u8> {
    (0..48_000u32).map(|n| (n.wrapping_mul(n) >> 5) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn d01_samples_beside_their_type_are_stored() {
    let t = TestApp::start().await;
    let (bytes, sha256) = (samples(), HEXLOWER.encode(digest(&SHA256, &samples()).as_ref()));
    let payload = json!({"candidates": [{"content": {"parts": [{"inlineData":
        {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": BASE64.encode(&bytes)}}]}}]});
    assert_eq!(told(&t, "r", &payload).await, 1);
    assert_eq!(t.until("r.l16", ClipState::Stored).await.sealed.unwrap().sha256, sha256);
    assert_eq!(viewed(&t, "r.l16").await, bytes);
    assert_eq!(told(&t, "hex", &json!({"data": {"audio": HEXLOWER.encode(&bytes), "status": 2}})).await, 1);
    assert_eq!(t.until("hex.pcm", ClipState::Stored).await.sealed.unwrap().sha256, sha256);
    for id in ["r", "hex"] {
        assert_eq!(status(&t, id).await, GenerationStatus::Completed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d02_data_that_is_not_understood_is_kept_whole() {
    let t = TestApp::start().await;
    let mut data = BASE64.encode(&samples().repeat(20));
    data.insert(400_000, '*');
    let payload = json!({"video": {"url": data}});
    assert_eq!(told(&t, "r", &payload).await, 0);
    assert_eq!(status(&t, "r").await, GenerationStatus::Unreadable);
    let generation = t.app.catalog.generation(&"r".parse().unwrap()).await.unwrap().unwrap();
    let (row, kept) = t.app.catalog.unread(&generation.provider, &generation.request_id).await.unwrap().unwrap();
    assert_eq!(kept.unwrap(), t.sim.webhook_body("r", &payload));
    assert!(row.len > 1 << 20);
    let shown = &t.api("/api/v1/generations/r").await["unreadable"];
    assert_eq!((shown["bytes"].as_u64(), shown["kept_bytes"].as_u64()), (Some(row.len), Some(row.len)));
    assert_eq!(shown["payload"].as_str().unwrap().len(), 256 * 1024);
}

#[tokio::test(flavor = "multi_thread")]
async fn d03_d08_d10_what_users_call_their_outputs_and_where_they_put_them_is_theirs() {
    let t = TestApp::start().await;
    let clip = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    let page = t.sim.add_file("get.php", Media::named("silent.mp4"));
    let bare = t.sim.add_file("abc", Media::named("silent.mp4"));
    let payloads = [
        json!({"video": page}),
        json!({"license_plate": {"url": bare}}),
        json!({"prompt": {"url": clip}}),
        json!({"text": format!("Here it is: ![result]({clip})")}),
        json!({"x": format!("{clip},")}),
    ];
    for (number, payload) in payloads.iter().enumerate() {
        let id = format!("r{number}");
        assert_eq!(told(&t, &id, payload).await, 1, "{payload}");
        t.until(&format!("{id}.mp4"), ClipState::Stored).await;
        assert_eq!(status(&t, &id).await, GenerationStatus::Completed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d07_d18_a_result_beside_its_place_or_beside_a_failure_is_kept() {
    let t = TestApp::start().await;
    let clip = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    for (id, body, expected) in [
        ("beside", json!({"status": "OK", "video": {"url": clip}}), GenerationStatus::Completed),
        (
            "failed",
            json!({"status": "ERROR", "error": "no more", "payload": {"video": {"url": clip}}}),
            GenerationStatus::Failed,
        ),
    ] {
        let mut body: Value = body;
        body["request_id"] = json!(id);
        assert_eq!(t.deliver(t.sim.sign(id, body.to_string().into_bytes()), "").await.status(), 200);
        t.until(&format!("{id}.mp4"), ClipState::Stored).await;
        assert_eq!(status(&t, id).await, expected);
    }
}
