//! Invariant 7: memory is bounded by configuration, not by clip size or backlog.

use std::{sync::Arc, time::Duration};

use clipkeep::store::{Store, StoreTarget, UploadLimits};
use clipkeep_core::config::{Config, Layers};
use fal_sim::{Media, Sim, SimOptions};
use tokio::sync::Mutex;

use crate::support::{
    garage,
    node::{Node, NodeConfig},
    postgres,
};

const LIMIT_KIB: u64 = 200 << 10;
const PATIENCE: Duration = Duration::from_secs(300);

/// One at a time: each fills some disk.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

async fn until_stored(node: &Node, count: usize) {
    let began = tokio::time::Instant::now();
    loop {
        let list = node.api("/api/v1/clips?state=stored&limit=100").await.unwrap();
        if list["clips"].as_array().unwrap().len() == count {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{}", std::fs::read_to_string(&node.log).unwrap());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[expect(clippy::print_stderr, reason = "the number is worth seeing")]
fn assert_bounded(node: &Node, what: &str) {
    let peak = node.memory_kib("VmHWM");
    eprintln!("{what}: peak resident memory {} MiB", peak >> 10);
    assert!(peak < LIMIT_KIB, "{what}: {} MiB", peak >> 10);
}

async fn bucket(place: &garage::Place) -> Store {
    let layers = Layers::new().with_env(place.aws()).with_flags([("store", place.url())]);
    let settings = Config::from_layers(layers).unwrap().s3;
    let target = StoreTarget::S3 { bucket: garage::BUCKET.to_owned(), prefix: place.prefix.clone(), settings };
    Store::open(target, UploadLimits { memory: 8 << 20, clip_size: 4 << 30 }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_of_2_gib_goes_through_into_a_folder_and_out_again() {
    let _one = ONE_AT_A_TIME.lock().await;
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let node = NodeConfig::new(dir.path()).start(&sim).await;
    let media = Media::padded(2 << 30, 1);
    assert_eq!(node.hook(&sim, "big", &sim.add_file("big.mp4", media.clone())).await, Some(200));
    until_stored(&node, 1).await;
    let clip = node.api("/api/v1/clips/big.mp4").await.unwrap();
    assert_eq!(clip["sha256"], media.sha256());
    let request = node.client.post(format!("{}/api/v1/clips/big.mp4/links", node.url));
    let link: serde_json::Value =
        request.bearer_auth(crate::support::node::TOKEN).send().await.unwrap().json().await.unwrap();
    let mut body = node.client.get(link["url"].as_str().unwrap()).send().await.unwrap();
    let mut read = 0;
    while let Some(chunk) = body.chunk().await.unwrap() {
        read += chunk.len() as u64;
    }
    assert_eq!(read, media.len());
    assert_bounded(&node, "2 GiB into a folder and out again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_of_2_gib_goes_through_into_a_bucket() {
    let _one = ONE_AT_A_TIME.lock().await;
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let (dir, place) = (tempfile::tempdir().unwrap(), garage::place());
    let mut config = NodeConfig::new(dir.path()).set("store", place.url()).set("database", postgres::database().await);
    config.aws = place.aws();
    let node = config.start(&sim).await;
    let media = Media::padded(2 << 30, 2);
    assert_eq!(node.hook(&sim, "big", &sim.add_file("big.mp4", media.clone())).await, Some(200));
    until_stored(&node, 1).await;
    let clip = node.api("/api/v1/clips/big.mp4").await.unwrap();
    assert_eq!(clip["sha256"], media.sha256());
    assert_bounded(&node, "2 GiB into a bucket");
    bucket(&place).await.delete(&"big.mp4".parse().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_clips_of_200_mib_go_through_at_once() {
    const CLIPS: usize = 64;
    let _one = ONE_AT_A_TIME.lock().await;
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let (dir, place) = (tempfile::tempdir().unwrap(), garage::place());
    let mut config = NodeConfig::new(dir.path()).set("store", place.url()).set("fill_concurrency", "64");
    config.aws = place.aws();
    let node = Arc::new(config.start(&sim).await);
    // The same bytes for all: the bucket then keeps them once.
    let media = Media::padded(200 << 20, 3);
    for number in 0..CLIPS {
        let source = sim.add_file("clip.mp4", media.clone());
        assert_eq!(node.hook(&sim, &format!("clip{number}"), &source).await, Some(200));
    }
    until_stored(&node, CLIPS).await;
    assert_bounded(&node, "64 clips of 200 MiB at once");
    let list = node.api("/api/v1/clips?limit=100").await.unwrap();
    let sha256 = media.sha256();
    for clip in list["clips"].as_array().unwrap() {
        assert_eq!(clip["sha256"], sha256);
    }
    let store = bucket(&place).await;
    for number in 0..CLIPS {
        store.delete(&format!("clip{number}.mp4").parse().unwrap()).await.unwrap();
    }
}
