//! Clips that the provider writes into our own store.

use std::time::{Duration, Instant};

use clipkeep_core::{event::EventType, state::ClipState};
use fal_sim::Media;
use serde_json::{Value, json};

use super::{Bed, in_both};
use crate::cold::{all, header, served};

in_both![what_lands_late_is_hashed_probed_and_kept, what_is_no_media_is_rejected_and_left];

async fn register(bed: &Bed, body: &Value) -> (u16, Value) {
    let request = bed.t.client.post(format!("{}/api/v1/generations", bed.t.url)).bearer_auth(&bed.t.token);
    let answer = request.json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn what_lands_late_is_hashed_probed_and_kept(bed: Bed) {
    let media = Media::padded_slow_start(3 << 20, 7);
    let told = json!({"request_id": "c", "adopt": true, "model": "m", "prompt": "p", "policy": "on_demand"});
    for _ in 0..2 {
        let (status, generation) = register(&bed, &told).await;
        assert_eq!((status, generation["status"].as_str()), (200, Some("pending")));
        let clips = generation["clips"].as_array().unwrap();
        assert_eq!((clips.len(), clips[0]["key"].as_str()), (1, Some("c.mp4")));
    }
    super::until("it was looked for", async || bed.clip("c.mp4").await.unwrap().attempts > 0).await;
    let early = bed.get("c.mp4").await;
    assert_eq!(early.status(), 503);
    assert!(header(&early, "retry-after").parse::<u32>().unwrap() > 0);
    // Its webhook names the object by a URL that is none of ours to fetch.
    let url = bed.t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    assert_eq!(bed.t.hook("c", &url, "").await.status(), 200);
    bed.raw.put("c.mp4", all(&media)).await;
    let clip = bed.t.until("c.mp4", ClipState::Stored).await;
    let sealed = clip.sealed.unwrap();
    assert_eq!((sealed.sha256, sealed.size), (media.sha256(), 3 << 20));
    assert!(sealed.media.duration.is_some() && clip.facts.prompt.as_deref() == Some("p"));
    assert!(bed.t.sim.requests_for(&url).is_empty(), "nothing was asked of any source");
    assert!(bed.get("c.mp4").await.bytes().await.unwrap() == served(&all(&media)));
    assert_eq!(bed.raw.get("c.mp4").await.unwrap(), all(&media));
    assert_eq!(bed.events("c.mp4").await, [EventType::ClipStored]);
    assert_eq!(bed.story("c.mp4").await[0], "adopting");
    assert_eq!(bed.t.app.partials().read_dir().unwrap().count(), 0);
}

async fn what_is_no_media_is_rejected_and_left(bed: Bed) {
    let page = "<!DOCTYPE html><html>no video</html>";
    bed.raw.put("c.webm", page).await;
    assert_eq!(register(&bed, &json!({"request_id": "c", "adopt": true, "ending": "webm"})).await.0, 200);
    let clip = bed.t.until("c.webm", ClipState::Rejected).await;
    assert!(clip.last_error.is_some());
    assert_eq!(bed.raw.get("c.webm").await.unwrap(), page);
    assert_eq!(bed.events("c.webm").await, [EventType::ClipRejected]);
    for bad in [
        json!({"request_id": "d", "adopt": true, "ending": "exe"}),
        json!({"request_id": "d", "ending": "mp4"}),
        json!({"request_id": "d", "adopt": "yes"}),
    ] {
        assert_eq!(register(&bed, &bad).await.0, 400, "{bad}");
    }
}

/// Its clip is its outcome: fal, which does not know it, is not asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_adopts_is_never_asked_for_and_ends_with_its_clip() {
    let quick = [("sweep_interval", "1d"), ("poll_after", "0s")];
    let bed = Bed::folder(&quick.map(|(name, value)| (name, value.to_owned()))).await;
    let body = json!({"request_id": "c", "adopt": true, "model": "fal-ai/veo3"});
    assert_eq!(register(&bed, &body).await.1["status"], "pending");
    // Told again without the word, it still adopts.
    bed.t.register(&json!({"request_id": "c", "model": "fal-ai/veo3", "prompt": "a fox"})).await;
    for _ in 0..3 {
        let polls = bed.t.app.sweep.round().await.polls;
        assert_eq!((polls.asked, polls.unasked), (0, 0));
    }
    bed.raw.put("c.mp4", all(&Media::named("silent.mp4"))).await;
    bed.t.until("c.mp4", ClipState::Stored).await;
    let generation = bed.t.api("/api/v1/generations/c").await;
    assert_eq!((generation["status"].as_str(), &generation["error"]), (Some("completed"), &Value::Null));
    assert_eq!(bed.t.app.sweep.round().await.polls.asked, 0);
    assert_eq!(bed.events("c.mp4").await, [EventType::ClipStored]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_lands_is_lost_in_time_and_told() {
    let bed = Bed::folder(&[("adopt_within", "1s".to_owned())]).await;
    let began = Instant::now();
    register(&bed, &json!({"request_id": "c", "adopt": true})).await;
    let clip = bed.t.until("c.mp4", ClipState::Lost).await;
    assert!(began.elapsed().as_secs() >= 1, "{:?}", began.elapsed());
    assert!(clip.last_error.unwrap().contains("within 1s"));
    assert_eq!(bed.events("c.mp4").await, [EventType::ClipLost]);
    assert_eq!(bed.get("c.mp4").await.status(), 410);
    // It came after all: told again, or found by the sweep, it is kept.
    bed.raw.put("c.mp4", all(&Media::named("silent.mp4"))).await;
    register(&bed, &json!({"request_id": "c", "adopt": true})).await;
    bed.t.until("c.mp4", ClipState::Stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_rejected() {
    let bed = Bed::folder(&[("max_clip_size", "100kB".to_owned())]).await;
    bed.raw.put("c.mp4", all(&Media::padded(200_000, 1))).await;
    register(&bed, &json!({"request_id": "c", "adopt": true})).await;
    let clip = bed.t.until("c.mp4", ClipState::Rejected).await;
    assert!(clip.last_error.unwrap().contains("max_clip_size"));
    assert!(bed.raw.get("c.mp4").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_goes_on_after_a_restart() {
    let bed = Bed::folder(&[]).await;
    register(&bed, &json!({"request_id": "c", "adopt": true})).await;
    super::until("it was looked for", async || bed.clip("c.mp4").await.unwrap().attempts > 0).await;
    let (sim, data) = bed.t.stop().await;
    bed.raw.put("c.mp4", all(&Media::named("silent.mp4"))).await;
    let t = crate::support::app::TestApp::on(sim, data, &[], &[]).await;
    tokio::time::timeout(Duration::from_secs(30), t.until("c.mp4", ClipState::Stored)).await.unwrap();
}
