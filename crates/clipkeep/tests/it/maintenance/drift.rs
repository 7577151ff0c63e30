//! Rows without objects, objects without rows, and what was never ended.

use std::time::Duration;

use clipkeep::sweep::drift::DriftSettings;
use clipkeep_core::{
    event::EventType,
    id::{ClipKey, Provider},
    state::ClipState,
};
use fal_sim::{Fault, Faults, Media};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Method;

use super::{Bed, in_both};
use crate::{
    cold::{all, header, served},
    support::{
        bucket_proxy::{BucketProxy, Trouble},
        garage,
    },
};

in_both![
    case_38_a_deleted_object_comes_again_under_a_new_etag,
    case_38_a_deleted_object_whose_source_is_gone_is_lost_and_told,
    an_object_of_another_size_is_replaced_by_the_sources_bytes,
    an_object_without_a_row_is_reported_and_removed_only_when_asked,
    an_object_without_a_row_is_adopted_when_asked,
    a_lost_clips_object_that_is_there_again_is_adopted,
    case_35_an_upload_that_was_never_ended_is_aborted,
    what_is_well_is_left_alone,
    looking_only_counts_and_changes_nothing,
    where_most_is_missing_nothing_is_done,
    more_objects_than_a_page_are_seen_each_once,
];

fn media() -> Media {
    Media::named("silent.mp4")
}

async fn case_38_a_deleted_object_comes_again_under_a_new_etag(bed: Bed) {
    let media = Media::padded(700_000, 3);
    let (before, _) = bed.store("c", &media).await;
    bed.store("other", &self::media()).await;
    let etag = header(&bed.get("c.mp4").await, "etag");
    bed.raw.delete("c.mp4").await;
    let report = bed.drift(|_| ()).await;
    assert_eq!((report.rows, report.missing, report.wrong_size, report.stopped), (2, 1, 0, false));
    let again = bed.t.until("c.mp4", ClipState::Stored).await;
    assert_eq!((again.epoch, again.sealed), (before.epoch + 1, before.sealed));
    let answer = bed.get("c.mp4").await;
    assert_ne!(header(&answer, "etag"), etag);
    assert!(answer.bytes().await.unwrap() == served(&all(&media)));
    assert_eq!(bed.raw.get("c.mp4").await.unwrap(), all(&media));
    assert_eq!(bed.story("c.mp4").await[3..], ["stored", "object_lost", "claimed", "sealed", "stored"]);
    assert_eq!(bed.story("other.mp4").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_count_what_drifted() {
    let bed = Bed::folder(&[]).await;
    bed.store("c", &media()).await;
    bed.store("other", &media()).await;
    bed.raw.delete("c.mp4").await;
    bed.t.app.sweep.drift(DriftSettings::new(Duration::ZERO)).await.unwrap();
    let metrics = bed.t.app.metrics.render(false);
    assert!(metrics.contains("clipkeep_swept_total{outcome=\"missing\"} 1"), "{metrics}");
}

async fn case_38_a_deleted_object_whose_source_is_gone_is_lost_and_told(bed: Bed) {
    let (_, source) = bed.store("c", &media()).await;
    bed.t.sim.set_faults(&source, Faults::always(Fault::status(404)));
    bed.raw.delete("c.mp4").await;
    assert_eq!(bed.drift(|_| ()).await.missing, 1);
    let lost = bed.t.until("c.mp4", ClipState::Lost).await;
    assert!(lost.last_error.unwrap().contains("404"));
    assert_eq!(bed.events("c.mp4").await, [EventType::ClipStored, EventType::ClipRevised, EventType::ClipLost]);
    assert_eq!(bed.get("c.mp4").await.status(), 410);
}

async fn an_object_of_another_size_is_replaced_by_the_sources_bytes(bed: Bed) {
    let (before, source) = bed.store("c", &media()).await;
    bed.raw.put("c.mp4", &b"a few bytes of somebody"[..]).await;
    let report = bed.drift(|_| ()).await;
    assert_eq!((report.missing, report.wrong_size), (0, 1));
    let again = bed.t.until("c.mp4", ClipState::Stored).await;
    assert_eq!((again.epoch, again.sealed), (before.epoch + 1, before.sealed));
    assert_eq!(bed.raw.get("c.mp4").await.unwrap(), all(&media()));
    // At the first attempt, and the source was read once more, not twice.
    assert_eq!((again.attempts, bed.t.sim.bytes_served(&source)), (1, 2 * media().len()));
}

async fn an_object_without_a_row_is_reported_and_removed_only_when_asked(bed: Bed) {
    bed.store("kept", &media()).await;
    for name in ["stray.mp4", "notes.txt", "no clip", "a.01.mp4"] {
        bed.raw.put(name, all(&media())).await;
    }
    let report = bed.drift(|_| ()).await;
    assert_eq!((report.objects, report.orphans, report.strangers), (5, 1, 3));
    assert_eq!(report.examples, ["stray.mp4"]);
    // A day must pass.
    let report = bed.drift(|s| s.delete_orphans = true).await;
    assert_eq!((report.orphans, report.removed), (1, 0));
    assert!(bed.raw.get("stray.mp4").await.is_some());
    let report = bed.drift(|s| (s.delete_orphans, s.orphan_age) = (true, Duration::ZERO)).await;
    assert_eq!((report.orphans, report.removed), (1, 1));
    assert!(bed.raw.get("stray.mp4").await.is_none());
    for name in ["kept.mp4", "notes.txt", "no clip", "a.01.mp4"] {
        assert!(bed.raw.get(name).await.is_some(), "{name}");
    }
    assert!(bed.clip("stray.mp4").await.is_none());
}

async fn an_object_without_a_row_is_adopted_when_asked(bed: Bed) {
    let media = Media::padded(400_000, 5);
    bed.raw.put("stray.2.mp4", all(&media)).await;
    // An app told of this one, and its webhook never came.
    bed.t.register(&serde_json::json!({"request_id": "told", "model": "m", "tenant": "acme"})).await;
    bed.raw.put("told.mp4", all(&media)).await;
    bed.raw.put("page.mp4", &b"<!DOCTYPE html><html>gone</html>"[..]).await;
    let report = bed.drift(|s| s.adopt = true).await;
    assert_eq!((report.orphans, report.adopted, report.removed), (3, 3, 0));
    let stray = bed.t.until("stray.2.mp4", ClipState::Stored).await;
    assert_eq!((stray.provider, stray.request_id.as_str(), stray.index), (Provider::adopted(), "stray", 2));
    assert_eq!(stray.sealed.unwrap().sha256, media.sha256());
    let told = bed.t.until("told.mp4", ClipState::Stored).await;
    assert_eq!((told.provider, told.facts.tenant.unwrap().as_str()), (Provider::fal(), "acme"));
    // What is no media is left where it is.
    bed.t.until("page.mp4", ClipState::Rejected).await;
    assert!(bed.raw.get("page.mp4").await.is_some());
    assert!(bed.get("stray.2.mp4").await.bytes().await.unwrap() == served(&all(&media)));
    let report = bed.drift(|s| s.adopt = true).await;
    assert_eq!((report.orphans, report.adopted), (0, 0));
}

async fn a_lost_clips_object_that_is_there_again_is_adopted(bed: Bed) {
    let (_, source) = bed.store("c", &media()).await;
    bed.t.sim.set_faults(&source, Faults::always(Fault::status(404)));
    let backup = bed.raw.get("c.mp4").await.unwrap();
    bed.raw.delete("c.mp4").await;
    bed.drift(|_| ()).await;
    bed.t.until("c.mp4", ClipState::Lost).await;
    bed.raw.put("c.mp4", backup).await;
    let report = bed.drift(|_| ()).await;
    assert_eq!((report.orphans, report.found_again, report.adopted), (0, 1, 0));
    assert_eq!(bed.drift(|s| s.adopt = true).await.adopted, 1);
    let again = bed.t.until("c.mp4", ClipState::Stored).await;
    assert_eq!(again.sealed.unwrap().sha256, media().sha256());
}

async fn looking_only_counts_and_changes_nothing(bed: Bed) {
    for (seed, id) in (0..).zip(["gone", "other", "kept", "dead"]) {
        bed.store(id, &Media::padded(700_000, seed)).await;
    }
    bed.raw.delete("gone.mp4").await;
    bed.raw.put("other.mp4", &b"a few bytes"[..]).await;
    bed.raw.put("stray.mp4", all(&media())).await;
    bed.raw.begin("stray.2.mp4").await;
    assert_eq!(super::delete::delete(&bed.t, "dead.mp4").await, 204);
    bed.raw.put("dead.mp4", all(&media())).await;
    let look = async |adopt: bool, delete: bool| {
        bed.drift(|s| {
            (s.look_only, s.adopt, s.delete_orphans, s.orphan_age) = (true, adopt, delete, Duration::ZERO);
        })
        .await
    };
    for (adopt, delete) in [(false, false), (true, false), (false, true)] {
        let report = look(adopt, delete).await;
        assert_eq!((report.rows, report.missing, report.wrong_size, report.leftovers), (3, 1, 1, 1));
        assert_eq!((report.orphans, report.adopted, report.removed), (1, u64::from(adopt), u64::from(delete)));
        assert_eq!(report.uploads, 1);
    }
    for name in ["other.mp4", "stray.mp4", "dead.mp4"] {
        assert!(bed.raw.get(name).await.is_some(), "{name}");
    }
    for id in ["gone.mp4", "other.mp4"] {
        assert_eq!(bed.clip(id).await.unwrap().state, ClipState::Stored);
    }
    assert!(bed.clip("stray.mp4").await.is_none());
    // What is younger than its grace is passed over, and said.
    let report = bed.drift(|s| (s.look_only, s.adopt, s.grace) = (true, true, Duration::from_secs(3600))).await;
    assert_eq!((report.rows, report.young, report.orphans, report.adopted, report.too_young), (0, 3, 1, 0, 1));
}

async fn case_35_an_upload_that_was_never_ended_is_aborted(bed: Bed) {
    bed.store("c", &media()).await;
    // One of ours, one of a running fill, one of somebody else, and one of an
    // output that came as data.
    let slow = bed.t.sim.add_faulty_file("a.mp4", Media::padded(9 << 20, 1), Faults::always(Fault::rate(200_000)));
    bed.t.hook("fills", &slow, "").await;
    bed.t.until("fills.mp4", ClipState::Filling).await;
    let inline = format!(".clipkeep-inline-{}", "ab".repeat(32));
    for name in ["left.mp4", "fills.mp4", "notes.txt", &inline] {
        bed.raw.begin(name).await;
    }
    let names = async || {
        let uploads = bed.t.app.store.list_stale().await.unwrap();
        let mut names: Vec<_> =
            uploads.into_iter().map(|upload| upload.key.rsplit('/').next().unwrap().to_owned()).collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(bed.drift(|_| ()).await.uploads, 0, "a day must pass");
    assert_eq!(names().await, [&inline, "fills.mp4", "left.mp4", "notes.txt"]);
    assert_eq!(bed.drift(|s| s.orphan_age = Duration::ZERO).await.uploads, 2);
    assert_eq!(names().await, ["fills.mp4", "notes.txt"]);
}

async fn what_is_well_is_left_alone(bed: Bed) {
    bed.store("c", &media()).await;
    let before = bed.clip("c.mp4").await;
    let report = bed.drift(|s| (s.adopt, s.delete_orphans, s.orphan_age) = (true, true, Duration::ZERO)).await;
    assert_eq!((report.rows, report.objects), (1, 1));
    let changed = [report.missing, report.wrong_size, report.orphans, report.adopted, report.removed, report.strangers];
    assert_eq!(changed, [0; 6]);
    // What was stored a moment ago is no matter for drift.
    bed.raw.delete("c.mp4").await;
    assert_eq!(bed.drift(|s| s.grace = Duration::from_secs(60)).await.missing, 0);
    assert_eq!(bed.clip("c.mp4").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_store_is_empty_nothing_is_done() {
    let bed = Bed::folder(&[]).await;
    for id in ["a", "b", "c"] {
        bed.store(id, &media()).await;
        bed.raw.delete(&format!("{id}.mp4")).await;
    }
    let report = bed.drift(|_| ()).await;
    assert_eq!((report.stopped, report.missing), (true, 0));
    assert_eq!(bed.clip("a.mp4").await.unwrap().state, ClipState::Stored);
    bed.raw.put("another.mp4", all(&media())).await;
    let report = bed.drift(|_| ()).await;
    assert_eq!((report.stopped, report.missing), (false, 3));
}

async fn where_most_is_missing_nothing_is_done(bed: Bed) {
    const CLIPS: usize = 24;
    for n in 0..CLIPS {
        bed.store(&n.to_string(), &Media::padded(100_000, n as u64)).await;
    }
    for n in 1..CLIPS {
        bed.raw.delete(&format!("{n}.mp4")).await;
    }
    let report = bed.drift(|_| ()).await;
    assert_eq!((report.stopped, report.missing), (true, 0));
    assert_eq!(bed.clip("5.mp4").await.unwrap().state, ClipState::Stored);
    // Unless somebody says that it is so.
    let report = bed.drift(|s| s.brake = false).await;
    assert_eq!((report.stopped, report.missing), (false, 23));
    bed.t.until("5.mp4", ClipState::Stored).await;
}

async fn more_objects_than_a_page_are_seen_each_once(bed: Bed) {
    const OBJECTS: usize = 1100;
    let name = |n: usize| format!("{n:05}.mp4");
    let raw = &bed.raw;
    let put = stream::iter(0..OBJECTS).map(|n| async move { raw.put(&name(n), vec![b'x'; n % 7 + 1]).await });
    put.buffer_unordered(16).collect::<()>().await;
    let store = &bed.t.app.store;
    let pages: Vec<_> = store.list().try_collect().await.unwrap();
    assert!(pages.len() > 1 && pages.iter().all(|page| page.len() <= 1000));
    let mut names: Vec<_> = pages.concat().into_iter().map(|object| object.name).collect();
    names.sort();
    assert_eq!(names, (0..OBJECTS).map(name).collect::<Vec<_>>());
    // Those that are asked for, wherever they lie; and one that is not there.
    let keys = ["00000.mp4", "00500.mp4", "00500x.mp4", "01003.mp4", "01099.mp4"];
    let keys: Vec<ClipKey> = keys.iter().map(|key| key.parse().unwrap()).collect();
    let sizes = store.sizes(&keys).await.unwrap();
    let found: Vec<_> = keys.iter().map(|key| sizes.get(key).copied()).collect();
    assert_eq!(found, [Some(1), Some(4), None, Some(3), Some(1)]);
    assert!(store.sizes(&[]).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_object_is_removed_on_the_word_of_an_empty_catalogue() {
    let bed = Bed::folder(&[]).await;
    bed.raw.put("kept.mp4", all(&media())).await;
    let report = bed.drift(|s| (s.delete_orphans, s.orphan_age) = (true, Duration::ZERO)).await;
    assert_eq!((report.orphans, report.removed, report.stopped), (1, 0, true));
    assert!(bed.raw.get("kept.mp4").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn case_38_a_listing_that_lags_costs_nothing() {
    const EMPTY: &str = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    let place = garage::place();
    let proxy = BucketProxy::start(&place.endpoint).await;
    let bed = Bed::before(&place, &place.aws_through(&proxy.endpoint), &[]).await;
    bed.store("c", &media()).await;
    proxy.trouble(Method::GET, "list-type=2", Trouble::Answer(200, EMPTY));
    let report = bed.drift(|_| ()).await;
    assert!(proxy.is_calm(), "the listing was asked");
    assert_eq!((report.rows, report.missing), (1, 0));
    assert_eq!(bed.story("c.mp4").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_filled_file_of_no_clip_goes_and_one_that_is_waited_for_stays() {
    let bed = Bed::folder(&[]).await;
    bed.store("kept", &media()).await;
    // Breaks off, and is tried again and again.
    let faults = Faults { first: vec![Fault::cut_at(1 << 20)], then: Fault::status(503) };
    let source = bed.t.sim.add_faulty_file("a.mp4", Media::padded(2 << 20, 1), faults);
    bed.t.hook("waits", &source, "").await;
    super::until("it is tried again", async || bed.clip("waits.mp4").await.is_some_and(|clip| clip.attempts > 1)).await;
    let partials = bed.t.app.partials();
    let map = std::fs::read(partials.join("waits.mp4.map")).unwrap();
    for name in ["kept.mp4", "unknown.mp4"] {
        std::fs::write(partials.join(name), "half").unwrap();
        std::fs::write(partials.join(format!("{name}.map")), &map).unwrap();
    }
    assert_eq!(bed.drift(|_| ()).await.copies, 2);
    for (name, stays) in [("waits.mp4", true), ("waits.mp4.map", true), ("kept.mp4", false), ("kept.mp4.map", false)] {
        assert_eq!(partials.join(name).exists(), stays, "{name}");
    }
}
