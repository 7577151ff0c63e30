//! Stored clips of a bucket, cached on the node's disk.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use clipkeep_core::state::ClipState;
use fal_sim::{Media, Sim, SimOptions};
use reqwest::Response;
use tempfile::TempDir;

use crate::support::{
    app::TestApp,
    bucket_proxy::{BucketProxy, Seen},
    garage::{self, Place},
};

const LEN: u64 = 9 << 20;

/// A node on a bucket whose requests are counted.
struct Node {
    t: TestApp,
    bucket: BucketProxy,
    place: Place,
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
        Self { t, bucket, place, settings, aws }
    }

    async fn restarted(self) -> Self {
        let Self { t, bucket, place, settings, aws } = self;
        let (sim, data): (Sim, Arc<TempDir>) = t.stop().await;
        let t = TestApp::on(sim, data, &settings, &aws).await;
        Self { t, bucket, place, settings, aws }
    }

    async fn store(&self, id: &str, seed: u64) -> Bytes {
        let media = Media::padded(LEN, seed);
        let source = self.t.sim.add_file("a.mp4", media.clone());
        self.t.hook(id, &source, "").await;
        self.t.until(&format!("{id}.mp4"), ClipState::Stored).await;
        whole(&media)
    }

    async fn get(&self, id: &str, range: &str) -> Response {
        self.t.client.get(self.t.link(&format!("{id}.mp4"))).header("range", range).send().await.unwrap()
    }

    /// How often the bucket was read from.
    fn reads(&self) -> usize {
        let is_read = |seen: &&Seen| seen.method == http::Method::GET && seen.path.ends_with(".mp4");
        self.bucket.seen().iter().filter(is_read).count()
    }

    fn dir(&self) -> std::path::PathBuf {
        self.t.data.path().join("cache")
    }

    /// Waits until the whole clip is cached.
    async fn until_hit(&self, id: &str) {
        let began = tokio::time::Instant::now();
        while self.get(id, "bytes=0-0").await.headers()["cache-status"] != "clipkeep; hit" {
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "never cached");
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
                assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{} bytes", size(&node.dir()));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h29_what_the_disk_changed_of_a_cached_copy_is_read_from_the_bucket_again() {
    let holes: [fn(&std::fs::File); 3] = [
        // Never came, or was forgotten by a power cut.
        |file| {
            file.set_len(4_000_000).unwrap();
            file.set_len(LEN).unwrap();
        },
        |file| flip(file, 5_000_000),
        |file| (0..LEN).step_by(4 << 20).for_each(|at| flip(file, at)),
    ];
    for (number, damage) in holes.into_iter().enumerate() {
        let node = Node::start("1GiB").await;
        let bytes = node.store("a", 4).await;
        node.get("a", "bytes=0-0").await;
        node.until_hit("a").await;
        let Node { t, bucket, place, settings, aws } = node;
        let (sim, data) = t.stop().await;
        damage(&std::fs::File::options().read(true).write(true).open(data.path().join("cache/a.mp4")).unwrap());
        let t = TestApp::on(sim, data, &settings, &aws).await;
        let node = Node { t, bucket, place, settings, aws };
        assert!(node.get("a", "bytes=0-").await.bytes().await.unwrap() == bytes, "{number}");
    }
}

fn flip(file: &std::fs::File, at: u64) {
    use std::os::unix::fs::FileExt;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

/// Its writer writes an adopted object again, of the same length, while it is
/// read in several requests: what went out under one ETag is of one object.
#[tokio::test(flavor = "multi_thread")]
async fn h46_an_object_that_its_writer_changes_is_never_read_from_two_versions() {
    for cache_size in ["1GiB", "1MiB"] {
        let node = Node::start(cache_size).await;
        let raw = crate::support::raw::Raw::bucket(&node.place);
        let (old, new) = (whole(&Media::padded(LEN, 6)), whole(&Media::padded(LEN, 7)));
        raw.put("a.mp4", old.clone()).await;
        node.t.register(&serde_json::json!({"request_id": "a", "adopt": true})).await;
        node.t.until("a.mp4", ClipState::Stored).await;
        let first = node.get("a", "bytes=0-99").await;
        let etag = first.headers()["etag"].clone();
        assert_eq!(first.bytes().await.unwrap(), old.slice(0..100));
        if cache_size == "1GiB" {
            node.until_hit("a").await;
        }
        raw.put("a.mp4", new.clone()).await;
        // Whatever is still given under the old ETag is of the old object; in the
        // end there is the new one, under another.
        let node = if cache_size == "1GiB" { wiped(node).await } else { node };
        let began = tokio::time::Instant::now();
        loop {
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "the new object is never served");
            let answer = node.get("a", "bytes=5000000-5099999").await;
            if answer.status() != 206 {
                assert_eq!(answer.status(), 503);
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            let is_old = answer.headers()["etag"] == etag;
            let Ok(bytes) = answer.bytes().await else { continue };
            assert!(bytes == if is_old { &old } else { &new }.slice(5_000_000..5_100_000), "{cache_size} {is_old}");
            if !is_old {
                break;
            }
        }
    }
}

/// The node again, with nothing on its disk.
async fn wiped(node: Node) -> Node {
    let Node { t, bucket, place, settings, aws } = node;
    let (sim, data) = t.stop().await;
    std::fs::remove_dir_all(data.path().join("cache")).unwrap();
    let t = TestApp::on(sim, data, &settings, &aws).await;
    Node { t, bucket, place, settings, aws }
}

fn whole(media: &Media) -> Bytes {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < LEN {
        bytes.extend_from_slice(&media.chunk(bytes.len() as u64..LEN));
    }
    bytes.into()
}
