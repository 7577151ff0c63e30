//! Stored clips of a bucket, cached on the node's disk.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use clipkeep_core::state::ClipState;
use fal_sim::{Media, Sim, SimOptions};
use reqwest::Response;
use tempfile::TempDir;

use crate::support::{app::TestApp, bucket_proxy::BucketProxy, garage};

const LEN: u64 = 9 << 20;

/// A node on a bucket whose requests are counted.
struct Node {
    t: TestApp,
    bucket: BucketProxy,
    settings: Vec<(&'static str, String)>,
    aws: Vec<(String, String)>,
}

impl Node {
    async fn start(cache_size: &str) -> Self {
        let place = garage::place();
        let bucket = BucketProxy::start(&place.endpoint).await;
        let aws = place.aws_through(&bucket.endpoint);
        let settings = vec![("store", place.url()), ("cache_size", cache_size.to_owned())];
        let sim = Sim::start(SimOptions::default()).await.unwrap();
        let t = TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &settings, &aws).await;
        Self { t, bucket, settings, aws }
    }

    async fn restarted(self) -> Self {
        let Self { t, bucket, settings, aws } = self;
        let (sim, data): (Sim, Arc<TempDir>) = t.stop().await;
        let t = TestApp::on(sim, data, &settings, &aws).await;
        Self { t, bucket, settings, aws }
    }

    async fn store(&self, id: &str, seed: u64) -> Bytes {
        let media = Media::padded(LEN, seed);
        let source = self.t.sim.add_file("a.mp4", media.clone());
        self.t.hook(id, &source, "").await;
        self.t.until(&format!("{id}.mp4"), ClipState::Stored).await;
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < LEN {
            bytes.extend_from_slice(&media.chunk(bytes.len() as u64..LEN));
        }
        bytes.into()
    }

    async fn get(&self, id: &str, range: &str) -> Response {
        self.t.client.get(self.t.link(&format!("{id}.mp4"))).header("range", range).send().await.unwrap()
    }

    /// How often the bucket was read from.
    fn reads(&self) -> usize {
        self.bucket.seen().iter().filter(|seen| seen.method == http::Method::GET && seen.query.is_empty()).count()
    }

    fn dir(&self) -> std::path::PathBuf {
        self.t.data.path().join("cache")
    }

    /// Waits until the whole clip is cached.
    async fn until_hit(&self, id: &str) {
        let began = tokio::time::Instant::now();
        while self.get(id, "bytes=0-0").await.headers()["cache-status"] != "clipkeep; hit" {
            assert!(began.elapsed() < Duration::from_secs(20), "never cached");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn size(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    dir.read_dir().unwrap().map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_fills_the_cache_and_later_fetches_ask_no_bucket() {
    let mut node = Node::start("1GiB").await;
    let bytes = node.store("a", 1).await;
    let first = node.get("a", "bytes=9000000-9000009").await;
    assert_eq!(first.headers()["cache-status"], "clipkeep; fwd=miss");
    let etag = first.headers()["etag"].clone();
    assert_eq!(first.bytes().await.unwrap(), bytes.slice(9_000_000..9_000_010));
    node.until_hit("a").await;
    for _ in 0..2 {
        let before = node.reads();
        let whole = node.get("a", "bytes=0-").await;
        assert_eq!(
            (&whole.headers()["etag"], &whole.headers()["cache-status"]),
            (&etag, &"clipkeep; hit".parse().unwrap())
        );
        assert!(whole.bytes().await.unwrap() == bytes);
        assert_eq!(node.reads(), before);
        // And so it is after a restart.
        node = node.restarted().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_18_a_cache_that_is_wiped_costs_a_fetch_and_nothing_else() {
    let node = Node::start("1GiB").await;
    let bytes = node.store("a", 2).await;
    node.get("a", "bytes=0-0").await;
    node.until_hit("a").await;
    std::fs::remove_dir_all(node.dir()).unwrap();
    assert!(node.get("a", "bytes=0-").await.bytes().await.unwrap() == bytes);
    let other = node.store("b", 3).await;
    assert!(node.get("b", "bytes=0-").await.bytes().await.unwrap() == other);
    let node = node.restarted().await;
    assert!(node.get("a", "bytes=0-").await.bytes().await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn i07_the_cache_keeps_within_its_size_and_evicts_under_readers_unharmed() {
    let node = Node::start("20MiB").await;
    let mut clips = Vec::new();
    for n in 0..5 {
        clips.push((format!("c{n}"), node.store(&format!("c{n}"), n).await));
    }
    for _ in 0..2 {
        for (id, bytes) in &clips {
            assert!(node.get(id, "bytes=0-").await.bytes().await.unwrap() == *bytes, "{id}");
            // What was evicted goes as soon as its last reader is gone.
            let began = tokio::time::Instant::now();
            while size(&node.dir()) > (20 << 20) + 64 * 1024 {
                assert!(began.elapsed() < Duration::from_secs(10), "{} bytes", size(&node.dir()));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_40_a_cached_copy_with_a_hole_is_never_served_as_zeros() {
    let node = Node::start("1GiB").await;
    let bytes = node.store("a", 4).await;
    node.get("a", "bytes=0-0").await;
    node.until_hit("a").await;
    let Node { t, bucket, settings, aws } = node;
    let (sim, data) = t.stop().await;
    // The map of a copy that came only half: the file has a hole there.
    let map = data.path().join("cache/a.mp4.map");
    let text = std::fs::read_to_string(&map).unwrap();
    let full = format!("[{{\"start\":0,\"end\":{LEN}}}]");
    assert!(text.contains(&full), "{text}");
    std::fs::write(&map, text.replace(&full, "[{\"start\":0,\"end\":4000000}]")).unwrap();
    let file = std::fs::File::options().write(true).open(data.path().join("cache/a.mp4")).unwrap();
    file.set_len(4_000_000).unwrap();
    file.set_len(LEN).unwrap();
    let t = TestApp::on(sim, data, &settings, &aws).await;
    let node = Node { t, bucket, settings, aws };
    assert!(node.get("a", "bytes=0-").await.bytes().await.unwrap() == bytes);
}
