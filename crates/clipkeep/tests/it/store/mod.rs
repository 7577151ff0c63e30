//! The store's contract, on a folder and on a real Garage.

mod bucket;
mod virtual_host;

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use clipkeep::{
    fill::local::{LocalCopy, Writer},
    store::{Staged, Store, StoreError, StoreTarget, UploadLimits},
};
use clipkeep_core::{
    config::{Config, Layers},
    id::ClipKey,
};
use fal_sim::Media;
use futures_util::TryStreamExt;
use tempfile::TempDir;

use crate::support::{bucket_proxy::BucketProxy, garage};

const PART: u64 = 8 << 20;

struct Place {
    store: Store,
    dir: TempDir,
}

async fn folder() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let store = open(StoreTarget::Folder(dir.path().join("clips"))).await;
    Place { store, dir }
}

async fn bucket() -> Place {
    let place = garage::place();
    Place { store: open(target(&place, place.aws())).await, dir: tempfile::tempdir().unwrap() }
}

/// A bucket with a proxy before it that makes trouble.
async fn troubled_bucket() -> (Place, BucketProxy, garage::Place) {
    let place = garage::place();
    let proxy = BucketProxy::start(&place.endpoint).await;
    let store = open(target(&place, place.aws_through(&proxy.endpoint))).await;
    (Place { store, dir: tempfile::tempdir().unwrap() }, proxy, place)
}

fn target(place: &garage::Place, aws: Vec<(String, String)>) -> StoreTarget {
    let config = Config::from_layers(Layers::new().with_env(aws).with_flags([("store", place.url())])).unwrap();
    StoreTarget::S3 { bucket: garage::BUCKET.to_owned(), prefix: place.prefix.clone(), settings: config.s3 }
}

async fn open(target: StoreTarget) -> Store {
    Store::open(target, UploadLimits { memory: 3 * PART, clip_size: 1 << 30 }).await.unwrap()
}

fn key(name: &str) -> ClipKey {
    name.parse().unwrap()
}

async fn spool(dir: &Path, name: &str) -> (Writer, Arc<LocalCopy>) {
    let copy = LocalCopy::create(dir.join(format!("{name}.spool"))).await.unwrap();
    (copy.writer(0), copy)
}

async fn finish(mut writer: Writer, file: &LocalCopy) {
    writer.flush().await.unwrap();
    file.complete(writer.at()).await.unwrap();
}

async fn write(writer: &mut Writer, media: &Media, range: std::ops::Range<u64>) {
    let mut at = range.start;
    while at < range.end {
        let chunk = media.chunk(at..range.end);
        at += chunk.len() as u64;
        writer.write(chunk).await.unwrap();
    }
}

impl Place {
    async fn stage(&self, name: &str, media: &Media) -> Staged {
        self.try_stage(name, media).await.unwrap()
    }

    async fn try_stage(&self, name: &str, media: &Media) -> Result<Staged, StoreError> {
        let (mut writer, file) = spool(self.dir.path(), name).await;
        write(&mut writer, media, 0..media.len()).await;
        finish(writer, &file).await;
        self.store.stage(&key(name), "video/mp4", &file).await
    }

    /// Keeps the media under this name, and says whether it is that media.
    async fn keep(&self, name: &str, media: &Media) -> Result<bool, StoreError> {
        let digest = self.try_stage(name, media).await?.publish().await?;
        Ok(digest.sha256 == media.sha256() && self.store.hash(&key(name)).await?.sha256 == media.sha256())
    }

    async fn nothing_is_open(&self) -> bool {
        self.store.list_stale().await.unwrap().is_empty()
    }

    async fn read(&self, name: &str, range: std::ops::Range<u64>) -> Result<Vec<u8>, StoreError> {
        let chunks: Vec<Bytes> = self.store.read(&key(name), range).await?.try_collect().await?;
        Ok(chunks.concat())
    }
}

/// The same test on both stores.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod on_a_folder {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(super::folder().await).await; })+
        }
        mod on_garage {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(super::bucket().await).await; })+
        }
    };
}

on_both!(
    an_upload_runs_while_the_file_grows_and_shows_only_when_published,
    small_and_empty_tails_and_whole_parts_arrive_as_they_were,
    case_35_what_a_dead_process_staged_is_found_and_aborted,
    an_aborted_stage_leaves_nothing,
    a_given_up_download_leaves_nothing,
    nothing_is_overwritten_and_the_same_bytes_again_are_fine,
    ranges_are_exact_and_what_is_missing_is_said,
    uploads_side_by_side_share_the_memory,
    the_doctor_can_write_read_and_delete,
);

async fn an_upload_runs_while_the_file_grows_and_shows_only_when_published(p: Place) {
    let media = Media::padded(2 * PART + 12_345, 3);
    let (mut writer, file) = spool(p.dir.path(), "a.mp4").await;
    let staging = {
        let (store, file) = (p.store.clone(), Arc::clone(&file));
        tokio::spawn(async move { store.stage(&key("a.mp4"), "video/mp4", &file).await })
    };
    for (start, end) in [(0, PART + 1), (PART + 1, 2 * PART), (2 * PART, media.len())] {
        write(&mut writer, &media, start..end).await;
        writer.flush().await.unwrap();
        assert!(p.store.head(&key("a.mp4")).await.unwrap().is_none());
    }
    finish(writer, &file).await;
    let staged = staging.await.unwrap().unwrap();
    assert!(p.store.head(&key("a.mp4")).await.unwrap().is_none());
    let digest = staged.publish().await.unwrap();
    assert_eq!((digest.size, digest.sha256.clone()), (media.len(), media.sha256()));
    assert_eq!(p.store.head(&key("a.mp4")).await.unwrap().unwrap().size, media.len());
    assert_eq!(p.store.hash(&key("a.mp4")).await.unwrap(), digest);
    assert!(p.store.list_stale().await.unwrap().is_empty());
}

async fn small_and_empty_tails_and_whole_parts_arrive_as_they_were(p: Place) {
    let named = Media::named("silent.mp4");
    for (name, media) in [
        ("small.mp4", named.clone()),
        ("one-part.mp4", Media::padded(PART, 1)),
        ("one-more.mp4", Media::padded(PART + 1, 2)),
        ("two-parts.mp4", Media::padded(2 * PART, 3)),
    ] {
        let digest = p.stage(name, &media).await.publish().await.unwrap();
        assert_eq!(digest.sha256, media.sha256(), "{name}");
        assert_eq!(p.store.hash(&key(name)).await.unwrap(), digest, "{name}");
    }
}

async fn case_35_what_a_dead_process_staged_is_found_and_aborted(p: Place) {
    let media = Media::padded(2 * PART, 4);
    // Forgotten, as a killed process forgets.
    std::mem::forget(p.stage("b.mp4", &media).await);
    std::mem::forget(p.stage("bb.mp4", &media).await);
    p.store.abort_stale(&key("b.mp4")).await.unwrap();
    let left: Vec<String> = p.store.list_stale().await.unwrap().into_iter().map(|stale| stale.key).collect();
    assert!(left.len() == 1 && left[0].contains("bb.mp4"), "{left:?}");
    p.store.abort_stale(&key("bb.mp4")).await.unwrap();
    p.store.clear_staging().await.unwrap();
    assert!(p.store.list_stale().await.unwrap().is_empty());
    let digest = p.stage("b.mp4", &media).await.publish().await.unwrap();
    assert_eq!(digest.sha256, media.sha256());
}

async fn an_aborted_stage_leaves_nothing(p: Place) {
    p.stage("c.mp4", &Media::padded(2 * PART, 5)).await.abort().await;
    assert!(p.store.list_stale().await.unwrap().is_empty());
    assert!(p.store.head(&key("c.mp4")).await.unwrap().is_none());
}

async fn a_given_up_download_leaves_nothing(p: Place) {
    let media = Media::padded(3 * PART, 6);
    let (mut writer, file) = spool(p.dir.path(), "d.mp4").await;
    let staging = {
        let (store, file) = (p.store.clone(), Arc::clone(&file));
        tokio::spawn(async move { store.stage(&key("d.mp4"), "video/mp4", &file).await.map(|_| ()) })
    };
    write(&mut writer, &media, 0..2 * PART).await;
    writer.flush().await.unwrap();
    file.close();
    assert!(matches!(staging.await.unwrap(), Err(StoreError::Spool(_))));
    assert!(p.store.list_stale().await.unwrap().is_empty());
    assert!(p.store.head(&key("d.mp4")).await.unwrap().is_none());
}

async fn nothing_is_overwritten_and_the_same_bytes_again_are_fine(p: Place) {
    for len in [PART / 2, 2 * PART] {
        let name = format!("e{len}.mp4");
        let (first, other) = (Media::padded(len, 7), Media::padded(len, 8));
        p.stage(&name, &first).await.publish().await.unwrap();
        let same = p.stage(&name, &first).await.publish().await.unwrap();
        assert_eq!(same.sha256, first.sha256());
        let refused = p.stage(&name, &other).await.publish().await;
        assert!(matches!(refused, Err(StoreError::Exists { .. })), "{refused:?}");
        assert_eq!(p.store.hash(&key(&name)).await.unwrap().sha256, first.sha256());
        assert!(p.store.list_stale().await.unwrap().is_empty());
    }
}

async fn ranges_are_exact_and_what_is_missing_is_said(p: Place) {
    let media = Media::padded(PART + 100, 9);
    p.stage("f.mp4", &media).await.publish().await.unwrap();
    for range in [0..1, 5..500, PART - 7..PART + 7, PART + 99..PART + 100, 0..PART + 100] {
        let mut expected = Vec::new();
        while (expected.len() as u64) < range.end - range.start {
            expected.extend_from_slice(&media.chunk(range.start + expected.len() as u64..range.end));
        }
        assert!(p.read("f.mp4", range.clone()).await.unwrap() == expected, "{range:?}");
    }
    assert!(matches!(p.read("nope.mp4", 0..1).await, Err(StoreError::NotFound { .. })));
    p.store.delete(&key("f.mp4")).await.unwrap();
    p.store.delete(&key("f.mp4")).await.unwrap();
    assert!(p.store.head(&key("f.mp4")).await.unwrap().is_none());
}

async fn uploads_side_by_side_share_the_memory(p: Place) {
    let p = Arc::new(p);
    let tasks = (0..6_u64).map(|n| {
        let p = Arc::clone(&p);
        tokio::spawn(async move {
            let media = Media::padded(2 * PART + n, n);
            let digest = p.stage(&format!("g{n}.mp4"), &media).await.publish().await.unwrap();
            assert_eq!(digest.sha256, media.sha256());
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

async fn the_doctor_can_write_read_and_delete(p: Place) {
    p.store.probe().await.unwrap();
}
