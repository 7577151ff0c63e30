//! `kill -9` at every request to the bucket from a webhook's receipt until a
//! poster is there: whoever asks afterwards gets one, and nothing lies about.

use std::sync::Arc;

use clipkeep::store::{Store, StoreTarget, UploadLimits};
use clipkeep_core::config::{Config, Layers};
use futures_util::TryStreamExt as _;
use serde_json::Value;
use tokio::{sync::Semaphore, task::JoinSet};

use super::*;
use crate::support::{
    chaos::{Behind, Chaos, Side},
    eventually::eventually,
    garage,
    node::NodeConfig,
};

/// How many stories run side by side.
const PARALLEL: usize = 4;

/// Answers how many requests there were, and whether the node was killed.
async fn run(kill_at: Option<(u32, Side)>) -> (u32, bool) {
    let what = format!("killed at {kill_at:?}");
    let (place, sim) = (garage::place(), Sim::start(SimOptions::default()).await.unwrap());
    let dir = tempfile::tempdir().unwrap();
    let bucket = Chaos::before(Behind::Http(place.endpoint.replace("http://", ""))).await;
    // Nodes know no PATH.
    let found = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).map(|dir| dir.join("ffmpeg")).find(|program| program.exists()));
    let ffmpeg = found.expect("the tests need ffmpeg");
    let mut config = NodeConfig::new(&dir.path().join("data")).set("lease", "1s").set("public", "true");
    config = config.set("store", place.url()).set("ffmpeg", ffmpeg.display().to_string());
    config.aws = place.aws_through(&format!("http://127.0.0.1:{}", bucket.port));
    let mut node = config.start(&sim).await;
    let first = node.pid();
    bucket.arm(first, kill_at);
    let source = sim.add_file("a.mp4", Media::new("video/mp4", video()));
    let (mut is_sent, began) = (false, Instant::now());
    let row: Value = loop {
        assert!(began.elapsed() < PATIENCE, "{what}: no poster:\n{}", fs::read_to_string(&node.log).unwrap());
        if node.is_dead() {
            bucket.disarm();
            node = config.start(&sim).await;
        }
        is_sent = is_sent || node.hook(&sim, "gen", &source).await == Some(200);
        // Whoever asks while it is made waits for it.
        let asked = node.client.get(format!("{}/p/gen.mp4.jpg", node.url)).send().await;
        let is_there = asked.is_ok_and(|answer| answer.status() == StatusCode::OK);
        let row = node.api("/api/v1/clips/gen.mp4").await.filter(|row| row["thumbhash"].is_string());
        if let Some(row) = row.filter(|_| is_there && is_sent) {
            break row;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let requests = bucket.disarm();
    assert_eq!(row["state"], "stored", "{what}");
    let direct = Layers::new().with_env(place.aws()).with_flags([("store", place.url())]);
    let settings = Config::from_layers(direct).unwrap().s3;
    let target = StoreTarget::S3 { bucket: garage::BUCKET.to_owned(), prefix: place.prefix, settings };
    let store = Store::open(target, UploadLimits { memory: 8 << 20, clip_size: 1 << 30 }).await.unwrap();
    let posters: Vec<_> = store.posters().try_concat().await.unwrap();
    assert_eq!(posters.len(), 1, "{what}");
    measured(&store.poster(&"gen.mp4".parse().unwrap()).await.unwrap().expect(&what));
    assert_eq!(store.list_stale().await.unwrap(), [], "{what}");
    let stills = dir.path().join("data/stills");
    eventually("nothing is left on the disk", || async { (fs::read_dir(&stills).ok()?.count() == 0).then_some(()) })
        .await;
    (requests, bucket.has_killed(first))
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_request_to_the_bucket_a_clip_has_its_poster() {
    let (requests, _) = run(None).await;
    assert!(requests > 3, "{requests}");
    let slots = Arc::new(Semaphore::new(PARALLEL));
    let mut stories = JoinSet::new();
    for number in 1..=requests {
        for side in [Side::Before, Side::After] {
            let slots = Arc::clone(&slots);
            stories.spawn(async move {
                let _slot = slots.acquire().await.unwrap();
                run(Some((number, side))).await
            });
        }
    }
    let mut killed = 0;
    while let Some(ended) = stories.join_next().await {
        killed += u32::from(ended.unwrap().1);
    }
    // Some take one request less than the first one did.
    assert!(killed >= requests, "{killed} kills at {requests} requests");
}
