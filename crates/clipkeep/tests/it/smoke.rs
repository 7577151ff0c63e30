//! The spine end to end, once on each pair of parts.

use std::sync::Arc;

use clipkeep_core::state::ClipState;
use fal_sim::{Media, Sim, SimOptions};
use serde_json::json;

use crate::support::{app::TestApp, garage, postgres};

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_becomes_a_stored_clip_and_a_link_that_plays() {
    spine(TestApp::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_postgresql_and_garage() {
    let place = garage::place();
    let settings = [("database", postgres::database().await), ("store", place.url())];
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    spine(TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &settings, &place.aws()).await).await;
}

async fn spine(t: TestApp) {
    for (id, media) in [("gen-1", Media::named("moov-last.mp4")), ("gen-2", Media::padded(30_000_000, 5))] {
        let source = t.sim.add_file("out.mp4", media.clone());
        let answer = t.hook(id, &source, "?model=fal-ai/veo3&prompt=a%20red%20fox&tenant=acme").await;
        assert_eq!(answer.status(), 200);
        let key = format!("{id}.mp4");
        let clip = t.until(&key, ClipState::Stored).await;
        let sealed = clip.sealed.unwrap();
        assert_eq!((sealed.size, sealed.sha256), (media.len(), media.sha256()));
        let row = t.api(&format!("/api/v1/clips/{key}")).await;
        assert_eq!(row["model"], "fal-ai/veo3");
        assert_eq!(row["prompt"], "a red fox");
        assert_eq!(row["tenant"], "acme");
        assert_eq!(row["state"], "stored");
        assert_eq!(row["final_url"], json!(format!("{}/v/{key}", t.url)));
        let part = t.client.get(t.link(&key)).header("range", "bytes=4-7").send().await.unwrap();
        assert_eq!(part.status(), 206);
        assert_eq!(part.bytes().await.unwrap(), "ftyp");
    }
    t.stop().await;
}
