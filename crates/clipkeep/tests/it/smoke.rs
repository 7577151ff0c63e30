//! The spine end to end, once.

use clipkeep_core::state::ClipState;
use fal_sim::Media;
use serde_json::json;

use crate::support::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_becomes_a_stored_clip_and_a_link_that_plays() {
    let t = TestApp::start().await;
    let source = t.sim.add_file("out.mp4", Media::named("moov-last.mp4"));
    let answer = t.hook("gen-1", &source, "?model=fal-ai/veo3&prompt=a%20red%20fox&tenant=acme").await;
    assert_eq!(answer.status(), 200);
    let clip = t.until("gen-1.mp4", ClipState::Stored).await;
    assert_eq!(clip.sealed.unwrap().sha256, Media::named("moov-last.mp4").sha256());
    let row = t.api("/api/v1/clips/gen-1.mp4").await;
    assert_eq!(row["model"], "fal-ai/veo3");
    assert_eq!(row["prompt"], "a red fox");
    assert_eq!(row["tenant"], "acme");
    assert_eq!(row["state"], "stored");
    assert_eq!(row["final_url"], json!(format!("{}/v/gen-1.mp4", t.url)));
    let part = t.client.get(t.link("gen-1.mp4")).header("range", "bytes=4-7").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.unwrap(), "ftyp");
    t.stop().await;
}
