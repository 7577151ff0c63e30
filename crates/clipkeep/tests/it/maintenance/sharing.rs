//! The same bytes once: one object for several clips, whatever becomes of them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use clipkeep::sweep::{tombstones, unshare};
use clipkeep_core::{
    state::ClipState,
    time::Timestamp,
    token::{TOKEN_BYTES, TokenInfo, token_hash, token_text},
};
use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::{Bed, delete::delete, in_both, until};
use crate::{
    cli::clipkeep,
    cold::{all, header, served},
    support::{app::TestApp, garage, postgres},
};

in_both![
    the_same_bytes_are_one_object,
    a_viewer_of_a_shared_object_sees_all_of_it_while_the_other_clip_ends,
    case_38_a_lost_shared_object_is_mended_for_all_its_clips,
    an_object_of_a_deleted_clip_that_is_damaged_is_replaced,
    case_45_a_clip_of_another_tenant_has_an_object_of_its_own,
    what_stands_in_the_way_of_sharing_goes,
    what_is_left_under_the_name_of_a_clip_that_shares_goes_when_it_is_old,
    a_duplicate_whose_bytes_rotted_is_none,
    case_39_a_kill_after_the_last_clips_row_leaves_the_object_to_the_sweep,
];

pub(super) fn media(seed: u64) -> Media {
    Media::padded(700_000, seed)
}

fn later(bed: &Bed) -> Timestamp {
    bed.t.app.clock.now().plus(Duration::from_secs(121))
}

async fn bury(bed: &Bed) -> u64 {
    tombstones::run(&*bed.t.app.catalog, &bed.t.app.store, later(bed)).await.unwrap().removed
}

/// The names of all objects.
pub(super) async fn objects(t: &TestApp) -> BTreeSet<String> {
    let pages: Vec<_> = t.app.store.list().try_collect().await.unwrap();
    pages.into_iter().flatten().map(|listed| listed.name).collect()
}

pub(super) fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

pub(super) async fn body(bed: &Bed, key: &str) -> Bytes {
    let answer = bed.get(key).await;
    assert_eq!(answer.status(), 200, "{key}");
    answer.bytes().await.unwrap()
}

async fn the_same_bytes_are_one_object(bed: Bed) {
    let media = Media::padded_slow_start(700_000, 1);
    let (a, _) = bed.store("a", &media).await;
    let (b, source) = bed.store("b", &media).await;
    let (other, _) = bed.store("other", &self::media(2)).await;
    assert_eq!((b.object().as_str(), &b.sealed), ("a.mp4", &a.sealed));
    assert_eq!(other.object_key, None);
    assert_eq!(objects(&bed.t).await, names(["a.mp4", "other.mp4"]));
    assert!(bed.t.app.store.list_stale().await.unwrap().is_empty());
    let expected = served(&all(&media));
    assert!(body(&bed, "a.mp4").await == expected && body(&bed, "b.mp4").await == expected);
    assert_ne!(header(&bed.get("a.mp4").await, "etag"), header(&bed.get("b.mp4").await, "etag"));
    assert_eq!(bed.t.sim.bytes_served(&source), 700_000, "its source was read, once");
    let metrics = bed.t.client.get(format!("{}/metrics", bed.t.url)).bearer_auth(&bed.t.token).send().await.unwrap();
    assert!(metrics.text().await.unwrap().contains("clipkeep_shared_bytes_total 700000"));
    let listed = bed.t.api("/api/v1/clips/duplicates").await;
    let duplicate_group = &listed["duplicates"][0];
    assert_eq!((listed["duplicates"].as_array().unwrap().len(), listed["next_cursor"].is_null()), (1, true));
    assert_eq!(
        (&duplicate_group["count"], &duplicate_group["objects"], &duplicate_group["saved"], &duplicate_group["size"]),
        (&json!(2), &json!(1), &json!(700_000), &json!(700_000))
    );
    let keys: Vec<_> =
        duplicate_group["clips"].as_array().unwrap().iter().map(|clip| clip["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["a.mp4", "b.mp4"]);
    // Nothing drifts, and its row tells nothing of it.
    let report = bed.drift(|s| (s.delete_orphans, s.orphan_age) = (true, Duration::ZERO)).await;
    assert_eq!((report.rows, report.missing, report.orphans, report.leftovers), (3, 0, 0, 0));
    let row = bed.t.api("/api/v1/clips/b.mp4").await;
    assert!(row.get("object_key").is_none() && row["final_url"].as_str().unwrap().ends_with("/v/b.mp4"));
}

async fn a_viewer_of_a_shared_object_sees_all_of_it_while_the_other_clip_ends(bed: Bed) {
    let media = Media::padded(24 << 20, 1);
    bed.store("a", &media).await;
    bed.store("b", &media).await;
    let mut watched = bed.get("b.mp4").await.bytes_stream();
    let mut seen = BytesMut::from(&watched.next().await.unwrap().unwrap()[..]);
    assert_eq!(delete(&bed.t, "a.mp4").await, 204);
    assert_eq!(bed.get("a.mp4").await.status(), 410);
    assert_eq!(bury(&bed).await, 1);
    assert_eq!(bed.story("a.mp4").await.last().unwrap(), "spared");
    bed.drift(|s| (s.delete_orphans, s.orphan_age) = (true, Duration::ZERO)).await;
    while let Some(chunk) = watched.next().await {
        seen.extend_from_slice(&chunk.unwrap());
    }
    let expected = served(&all(&media));
    assert!(seen == expected);
    assert_eq!(objects(&bed.t).await, names(["a.mp4"]));
    bed.t.app.memory_cache.forget(&"b.mp4".parse().unwrap());
    assert!(body(&bed, "b.mp4").await == expected);
    // Who comes now shares it, too; and with the last one it goes.
    bed.store("c", &media).await;
    for key in ["b.mp4", "c.mp4"] {
        assert_eq!(objects(&bed.t).await, names(["a.mp4"]));
        assert_eq!(delete(&bed.t, key).await, 204);
    }
    assert_eq!(objects(&bed.t).await, names([]));
}

async fn case_38_a_lost_shared_object_is_mended_for_all_its_clips(bed: Bed) {
    let media = media(1);
    let (_, source_a) = bed.store("a", &media).await;
    let (_, source_b) = bed.store("b", &media).await;
    bed.store("c", &media).await;
    let etag = header(&bed.get("c.mp4").await, "etag");
    // Were there nothing else, the store would rather be the wrong one.
    bed.store("other", &self::media(2)).await;
    // Two sources are slow to find again; one brings the bytes back for all.
    for source in [source_a, source_b] {
        bed.t.sim.set_faults(&source, Faults::always(Fault::status(503)));
    }
    bed.raw.delete("a.mp4").await;
    let report = bed.drift(|_| ()).await;
    assert_eq!((report.missing, report.stopped), (1, false));
    for key in ["a.mp4", "b.mp4", "c.mp4"] {
        let clip = bed.t.until(key, ClipState::Stored).await;
        assert_eq!((clip.epoch, clip.object().as_str()), (2, "c.mp4"), "{key}");
        assert!(body(&bed, key).await == all(&media));
    }
    assert_ne!(header(&bed.get("c.mp4").await, "etag"), etag);
    assert_eq!(objects(&bed.t).await, names(["c.mp4", "other.mp4"]));
    assert_eq!(bed.story("a.mp4").await.last().unwrap(), "stored");
}

async fn an_object_of_a_deleted_clip_that_is_damaged_is_replaced(bed: Bed) {
    let media = media(1);
    bed.store("a", &media).await;
    bed.store("b", &media).await;
    assert_eq!(delete(&bed.t, "a.mp4").await, 204);
    bury(&bed).await;
    bed.raw.put("a.mp4", "half").await;
    let report = bed.drift(|_| ()).await;
    assert_eq!((report.wrong_size, report.missing), (1, 0));
    let clip = bed.t.until("b.mp4", ClipState::Stored).await;
    assert_eq!(clip.object_key, None);
    assert!(body(&bed, "b.mp4").await == all(&media));
    bury(&bed).await;
    assert_eq!(objects(&bed.t).await, names(["b.mp4"]));
}

async fn case_45_a_clip_of_another_tenant_has_an_object_of_its_own(bed: Bed) {
    let media = media(1);
    bed.store_as("a", &media, "?tenant=acme").await;
    bed.store_as("b", &media, "?tenant=other").await;
    bed.store("c", &media).await;
    bed.store("d", &media).await;
    assert_eq!(objects(&bed.t).await, names(["a.mp4", "b.mp4", "c.mp4"]));
    assert_eq!(bed.story("b.mp4").await, ["received", "claimed", "sealed", "stored"]);
    // Its tenant is told later: it is copied, and viewers see no difference.
    let etag = header(&bed.get("d.mp4").await, "etag");
    // A kill before the row was written left something under its name.
    bed.raw.put("d.mp4", "half").await;
    bed.t.register(&json!({ "request_id": "d", "tenant": "acme" })).await;
    let app = &bed.t.app;
    let run = async || {
        let lease = app.config.lease;
        unshare::run(&*app.catalog, &app.store, false, &*app.clock, lease).await.unwrap()
    };
    // The node's own first round may be at it.
    let began = tokio::time::Instant::now();
    while run().await.unshared == 0 && bed.clip("d.mp4").await.unwrap().object_key.is_some() {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(run().await.unshared, 0);
    assert_eq!(objects(&bed.t).await, names(["a.mp4", "b.mp4", "c.mp4", "d.mp4"]));
    assert_eq!(bed.clip("d.mp4").await.unwrap().object_key, None);
    for key in ["c.mp4", "d.mp4"] {
        bed.t.app.memory_cache.forget(&key.parse().unwrap());
        assert!(body(&bed, key).await == all(&media));
    }
    assert_eq!(header(&bed.get("d.mp4").await, "etag"), etag);
    assert_eq!(delete(&bed.t, "c.mp4").await, 204);
    assert_eq!(objects(&bed.t).await, names(["a.mp4", "b.mp4", "d.mp4"]));
}

async fn what_stands_in_the_way_of_sharing_goes(bed: Bed) {
    bed.store("a", &media(1)).await;
    bed.raw.put("b.mp4", "another's").await;
    let (b, _) = bed.store("b", &media(1)).await;
    assert_eq!(b.object().as_str(), "a.mp4");
    assert_eq!(objects(&bed.t).await, names(["a.mp4"]));
    // A duplicate whose object is gone is none.
    bed.raw.delete("a.mp4").await;
    let (c, _) = bed.store("c", &media(1)).await;
    assert_eq!(c.object_key, None);
}

async fn a_duplicate_whose_bytes_rotted_is_none(bed: Bed) {
    bed.store("a", &media(1)).await;
    let rotten = all(&media(1)).iter().map(|byte| !byte).collect::<Vec<u8>>();
    bed.raw.put("a.mp4", rotten).await;
    let (b, _) = bed.store("b", &media(1)).await;
    assert_eq!(b.object_key, None, "the right bytes were at hand, and are kept");
    assert!(body(&bed, "b.mp4").await == all(&media(1)));
}

async fn what_is_left_under_the_name_of_a_clip_that_shares_goes_when_it_is_old(bed: Bed) {
    bed.store("a", &media(1)).await;
    bed.store("b", &media(1)).await;
    // By a fill that was cut off and did not know.
    bed.raw.put("b.mp4", all(&media(1))).await;
    assert_eq!(bed.drift(|_| ()).await.leftovers, 0);
    assert_eq!(bed.drift(|s| s.orphan_age = Duration::ZERO).await.leftovers, 1);
    assert_eq!(objects(&bed.t).await, names(["a.mp4"]));
    assert!(body(&bed, "b.mp4").await == all(&media(1)));
}

async fn case_39_a_kill_after_the_last_clips_row_leaves_the_object_to_the_sweep(bed: Bed) {
    bed.store("a", &media(1)).await;
    bed.store("b", &media(1)).await;
    assert_eq!(delete(&bed.t, "a.mp4").await, 204);
    assert_eq!(bury(&bed).await, 1);
    // All that a node writes before it is killed.
    let (now, key) = (bed.t.app.clock.now(), "b.mp4".parse().unwrap());
    bed.t.app.catalog.delete(&key, now, now.plus(Duration::from_secs(120)), "").await.unwrap();
    assert_eq!(objects(&bed.t).await, names(["a.mp4"]));
    assert_eq!(bury(&bed).await, 1);
    assert_eq!(objects(&bed.t).await, names([]));
    assert_eq!(bed.story("b.mp4").await.last().unwrap(), "removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_generated_twice_is_told_on_the_command_line() {
    let bed = Bed::folder(&[]).await;
    let run = |args: &[&str]| clipkeep(&bed.t.sim, bed.t.data.path(), args, &[]);
    assert_eq!(run(&["find", "--duplicates"]).0, 1);
    for (id, query) in [("a", ""), ("b", "?prompt=a%20fox"), ("x", "?tenant=acme"), ("y", "?tenant=acme")] {
        bed.store_as(id, &media(1), query).await;
    }
    let (code, out, _) = run(&["find", "--duplicates"]);
    assert!(code == 0 && out.lines().count() == 3 && out.contains("683.6 KiB"), "{out}");
    let told: Value = serde_json::from_str(&run(&["find", "--duplicates", "--tenant", "acme", "--json"]).1).unwrap();
    let duplicates = told["duplicates"].as_array().unwrap();
    assert_eq!((duplicates.len(), &duplicates[0]["saved"]), (1, &json!(700_000)));
    assert_eq!(duplicates[0]["clips"][1]["key"], "y.mp4");
    assert_eq!(run(&["find", "--duplicates", "--model", "m"]).0, 2, "they exclude each other");
    let (_, out, _) = run(&["explain", "b.mp4"]);
    assert!(out.contains("its object serves 1 other clip") && out.contains("one object serves both"), "{out}");
    let told: Value = serde_json::from_str(&run(&["explain", "a.mp4", "--json"]).1).unwrap();
    assert_eq!(told["clips"][0]["shares"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_45_a_tenant_sees_only_its_own_of_what_came_twice() {
    let bed = Bed::folder(&[]).await;
    for (id, tenant) in [("a", "acme"), ("b", "acme"), ("x", "other"), ("y", "other"), ("z", "third")] {
        bed.store_as(id, &media(1), &format!("?tenant={tenant}")).await;
    }
    let token = async |tenant: &str, seed: u8| {
        let text = token_text(&[seed; TOKEN_BYTES]);
        let tenant = Some(tenant.parse().unwrap());
        let (id, created_at) = (seed.to_string(), bed.t.app.clock.now());
        let info = TokenInfo { id, name: "t".to_owned(), tenant, created_at, last_used_at: None, revoked_at: None };
        bed.t.app.catalog.create_token(&info, &token_hash(&text)).await.unwrap();
        text
    };
    let list = async |token: &str, query: &str| -> Value {
        let url = format!("{}/api/v1/clips/duplicates{query}", bed.t.url);
        bed.t.client.get(url).bearer_auth(token).send().await.unwrap().json().await.unwrap()
    };
    let (acme, third) = (token("acme", 1).await, token("third", 2).await);
    for query in ["", "?tenant=acme"] {
        let told = list(&acme, query).await;
        let duplicates = told["duplicates"].as_array().unwrap();
        assert_eq!(
            (duplicates.len(), &duplicates[0]["tenant"], &duplicates[0]["count"]),
            (1, &json!("acme"), &json!(2))
        );
        assert!(["x.mp4", "y.mp4", "z.mp4"].iter().all(|key| !told.to_string().contains(key)), "{told}");
    }
    let nothing = json!({"duplicates": [], "next_cursor": null});
    assert_eq!(list(&acme, "?tenant=other").await, nothing);
    assert_eq!(list(&third, "").await, nothing, "that others have its bytes is not told");
    let all = list(&bed.t.token, "?limit=1").await;
    let next = all["next_cursor"].as_str().unwrap();
    assert_eq!(list(&acme, &format!("?cursor={next}")).await["duplicates"].as_array().unwrap().len(), 1);
    assert_eq!(list(&bed.t.token, "?cursor=nonsense").await["code"], "invalid_request");
    assert_eq!(list("nobody", "").await["code"], "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_cdn_stands_before_the_bucket_each_clip_has_its_object() {
    let template = ("final_url_template", "https://cdn.example.com/{key}".to_owned());
    let bed = Bed::folder(&[template]).await;
    bed.store("a", &media(1)).await;
    bed.store("b", &media(1)).await;
    assert_eq!(objects(&bed.t).await, names(["a.mp4", "b.mp4"]));
    let duplicate_group = &bed.t.api("/api/v1/clips/duplicates").await["duplicates"][0];
    assert_eq!(
        (&duplicate_group["count"], &duplicate_group["objects"], &duplicate_group["saved"]),
        (&json!(2), &json!(2), &json!(0))
    );
}

/// Clips with the same bytes come to two nodes while others of them are deleted
/// on either: whoever is first, what is stored is whole, and nothing is left.
#[tokio::test(flavor = "multi_thread")]
async fn case_42_two_nodes_share_and_delete_the_same_bytes_at_once() {
    let (sim, place) = (Sim::start(SimOptions::default()).await.unwrap(), garage::place());
    let settings = [("database", postgres::database().await), ("store", place.url())];
    let node = async || {
        let data = Arc::new(tempfile::tempdir().unwrap());
        TestApp::on(sim.clone(), data, &settings, &place.aws()).await
    };
    let nodes = [node().await, node().await];
    let media = media(1);
    let source = sim.add_file("a.mp4", media.clone());
    const CLIPS: usize = 24;
    let lives = (0..CLIPS).map(async |n| {
        let (t, other, key) = (&nodes[n % 2], &nodes[(n / 2) % 2], format!("c{n}.mp4"));
        tokio::time::sleep(Duration::from_millis(n as u64 * 20)).await;
        assert_eq!(t.hook(&format!("c{n}"), &source, "").await.status(), 200);
        t.until(&key, ClipState::Stored).await;
        if n % 3 != 0 {
            assert_eq!(delete(other, &key).await, 204);
        }
    });
    futures_util::future::join_all(lives).await;
    let app = &nodes[0].app;
    tombstones::run(&*app.catalog, &app.store, app.clock.now().plus(Duration::from_secs(121))).await.unwrap();
    let mut referred = BTreeSet::new();
    for n in 0..CLIPS {
        let key = format!("c{n}.mp4");
        let clip = app.catalog.clip(&key.parse().unwrap()).await.unwrap().unwrap();
        let status = || until_heard(&nodes[1], &key, if n % 3 == 0 { 200 } else { 410 });
        if n % 3 == 0 {
            assert_eq!(clip.state, ClipState::Stored);
            referred.insert(clip.object().to_string());
            assert!(status().await == all(&media), "{key}");
        } else {
            assert_eq!(clip.state, ClipState::Deleted);
            status().await;
        }
    }
    assert_eq!(objects(&nodes[0]).await, referred);
    assert!(referred.len() < CLIPS / 3, "some share: {referred:?}");
    assert!(app.store.list_stale().await.unwrap().is_empty());
}

/// What a node answers, once it has heard.
async fn until_heard(t: &TestApp, key: &str, status: u16) -> Bytes {
    let mut seen = Bytes::new();
    until("it has heard", async || {
        let answer = t.client.get(t.link(key)).send().await.unwrap();
        let is_so = answer.status().as_u16() == status;
        seen = answer.bytes().await.unwrap();
        is_so
    })
    .await;
    seen
}
