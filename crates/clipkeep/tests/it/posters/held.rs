//! Where a clip's bytes are when its poster is drawn, and what that costs.

use std::{sync::Arc, time::Duration};

use fal_sim::{Fault, Faults};
use reqwest::header::CACHE_CONTROL;

use super::*;
use crate::support::garage;

/// Tens of megabytes of video whose `moov` stands at the end.
fn long() -> Bytes {
    let noise = "testsrc2=s=1280x720:r=30:d=5,noise=alls=60:allf=t";
    let long = made(
        "mp4",
        &[
            "-f",
            "lavfi",
            "-i",
            noise,
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-qp",
            "18",
            "-pix_fmt",
            "yuv420p",
            "-g",
            "30",
        ],
    );
    assert!(long.len() > 40_000_000, "{}", long.len());
    long
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_clips_poster_needs_little_of_its_source_and_fills_nothing() {
    let t = drawing(&[]).await;
    let source = t.sim.add_file("long.mp4", Media::new("video/mp4", long()));
    t.hook("g1", &source, "?policy=on_demand").await;
    let link = poster_link(&t, "g1.mp4");
    let answer = get(&t, &link).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[CACHE_CONTROL], "private, max-age=60", "that of all of it may be another one");
    let (width, ..) = measured(&answer.bytes().await.unwrap());
    assert_eq!(width, 640);
    assert_eq!(get(&t, &link).await.status(), 200);
    let read = t.sim.bytes_served(&source);
    assert!(read <= 2 << 20, "{read} bytes of its source");
    let clip = t.until("g1.mp4", ClipState::Waiting).await;
    assert_eq!((clip.attempts, clip.poster), (0, Poster::Untried));
    // A row names no poster before there is one for good.
    assert!(t.api("/api/v1/clips/g1.mp4").await["poster_url"].is_null());
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_clip_that_is_coming_what_is_here_is_drawn() {
    let t = drawing(&[]).await;
    let bytes = long();
    let len = bytes.len() as u64;
    let slow = Faults::always(Fault::rate(4_000_000));
    let source = t.sim.add_faulty_file("long.mp4", Media::new("video/mp4", bytes), slow);
    t.hook("g1", &source, "").await;
    t.until("g1.mp4", ClipState::Filling).await;
    let began = Instant::now();
    while get(&t, &poster_link(&t, "g1.mp4")).await.status() != 200 {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(t.app.catalog.clip(&"g1.mp4".parse().unwrap()).await.unwrap().unwrap().state, ClipState::Filling);
    t.sim.set_faults(&source, Faults::default());
    t.until("g1.mp4", ClipState::Stored).await;
    let read = t.sim.bytes_served(&source);
    assert!(read as f64 <= len as f64 * 1.02, "{read} of {len}");
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn posters_of_a_bucket_are_in_the_bucket_and_go_with_their_clips() {
    let (place, sim) = (garage::place(), Sim::start(SimOptions::default()).await.unwrap());
    let settings = [("store", place.url()), ("ffmpeg", "ffmpeg".to_owned()), ("cache_size", "1MiB".to_owned())];
    let data = Arc::new(tempfile::tempdir().unwrap());
    let t = TestApp::on(sim, data, &settings, &place.aws()).await;
    let kept = async |key: &str| t.app.store.poster(&key.parse().unwrap()).await.unwrap();
    for id in ["g1", "g2", "g3"] {
        told(&t, id, "video", "video/mp4", video(), &format!("?tenant={id}")).await;
        tried(&t, &format!("{id}.mp4")).await;
    }
    let jpeg = kept("g1.mp4").await.unwrap();
    t.app.poster_cache.clear();
    let answer = get(&t, &poster_link(&t, "g1.mp4")).await;
    assert_eq!((answer.status(), answer.bytes().await.unwrap()), (StatusCode::OK, jpeg.clone()));
    // Drawn again from what the bucket has, which no copy here helps with.
    t.app.store.delete_poster(&"g1.mp4".parse().unwrap()).await.unwrap();
    t.app.poster_cache.clear();
    assert_eq!(get(&t, &poster_link(&t, "g1.mp4")).await.status(), 200);
    assert!(kept("g1.mp4").await.is_some());
    t.app.delete(&"g2.mp4".parse().unwrap(), "test").await.unwrap();
    assert_eq!(kept("g2.mp4").await, None);
    // Put back by who was killed just after the deletion: drift finds it.
    t.app.store.put_poster(&"g2.mp4".parse().unwrap(), &jpeg).await.unwrap();
    let lease = t.app.config.lease;
    let drift = clipkeep::sweep::drift::DriftSettings {
        orphan_age: Duration::ZERO,
        ..clipkeep::sweep::drift::DriftSettings::new(lease)
    };
    let report = t.app.sweep.drift(drift).await.unwrap();
    assert_eq!((report.leftovers, report.strangers), (1, 0), "{report:?}");
    assert_eq!(kept("g2.mp4").await, None);
    assert!(kept("g3.mp4").await.is_some());
    assert_eq!(fs::read_dir(t.data.path().join("stills")).unwrap().count(), 0, "nothing is left on the disk");
    t.stop().await;
}
