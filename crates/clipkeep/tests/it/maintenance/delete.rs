//! A clip's end: object, copies, links; whatever runs meanwhile.

use std::{sync::Arc, time::Duration};

use clipkeep::sweep::tombstones;
use clipkeep_core::{event::EventType, state::ClipState, time::Timestamp};
use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use futures_util::StreamExt;
use http::Method;

use super::{Bed, in_both, until};
use crate::{
    cold::all,
    support::{
        app::TestApp,
        bucket_proxy::{BucketProxy, Trouble},
        garage,
        node::{NodeConfig, TOKEN},
        postgres,
        raw::Raw,
    },
};

in_both![
    a_deleted_clip_is_gone_everywhere_and_stays_so,
    a_fill_that_runs_ends_and_leaves_nothing,
    an_object_that_comes_after_its_clips_end_goes_too,
    a_viewer_may_see_the_end_and_the_next_one_sees_410,
    case_42_webhooks_viewers_drift_and_a_deletion_all_at_once,
];

pub(super) async fn delete(t: &TestApp, key: &str) -> u16 {
    let request = t.client.delete(format!("{}/api/v1/clips/{key}", t.url)).bearer_auth(&t.token);
    request.send().await.unwrap().status().as_u16()
}

fn later(t: &TestApp, secs: u64) -> Timestamp {
    t.app.clock.now().plus(Duration::from_secs(secs))
}

async fn a_deleted_clip_is_gone_everywhere_and_stays_so(bed: Bed) {
    let (_, source) = bed.store("c", &Media::padded(600_000, 1)).await;
    assert_eq!(bed.get("c.mp4").await.bytes().await.unwrap().len(), 600_000);
    let unsigned = bed.t.client.delete(format!("{}/api/v1/clips/c.mp4", bed.t.url)).send().await.unwrap();
    assert_eq!(unsigned.status(), 401);
    assert_eq!(delete(&bed.t, "nope.mp4").await, 404);
    for _ in 0..2 {
        assert_eq!(delete(&bed.t, "c.mp4").await, 204);
        assert!(bed.raw.get("c.mp4").await.is_none());
        assert_eq!(bed.get("c.mp4").await.status(), 410);
    }
    let cached = bed.t.data.path().join("cache/c.mp4");
    until("its copy goes", async || !cached.exists()).await;
    assert_eq!(bed.events("c.mp4").await, [EventType::ClipStored, EventType::ClipDeleted]);
    // A late webhook, with the same source and with another.
    let other = bed.t.sim.add_file("b.mp4", Media::named("silent.mp4"));
    for source in [&source, &other] {
        assert_eq!(bed.t.hook("c", source, "").await.status(), 200);
    }
    let row = bed.t.api("/api/v1/clips/c.mp4").await;
    assert_eq!((row["state"].as_str(), row["final_url"].is_null()), (Some("deleted"), true));
    let fill = bed.t.client.post(format!("{}/api/v1/clips/c.mp4/fill", bed.t.url)).bearer_auth(&bed.t.token);
    let fill: serde_json::Value = fill.send().await.unwrap().json().await.unwrap();
    assert_eq!(fill["fill"], "nothing_to_do");
    assert!(bed.t.sim.requests_for(&other).is_empty());
}

async fn a_fill_that_runs_ends_and_leaves_nothing(bed: Bed) {
    let media = Media::padded(20 << 20, 1);
    let source = bed.t.sim.add_faulty_file("a.mp4", media, Faults::always(Fault::rate(2_000_000)));
    bed.t.hook("c", &source, "").await;
    until("it fills", async || bed.t.sim.bytes_served(&source) > 1 << 20).await;
    assert_eq!(delete(&bed.t, "c.mp4").await, 204);
    until("the fill ended", async || bed.t.app.engine.running() == 0).await;
    let served = bed.t.sim.bytes_served(&source);
    assert!(served < 15 << 20, "it ended at once: {served}");
    assert_eq!(bed.clip("c.mp4").await.unwrap().state, ClipState::Deleted);
    assert!(bed.raw.get("c.mp4").await.is_none());
    assert!(bed.t.app.store.list_stale().await.unwrap().is_empty());
    assert_eq!(bed.t.app.partials().read_dir().unwrap().count(), 0);
}

async fn an_object_that_comes_after_its_clips_end_goes_too(bed: Bed) {
    bed.store("c", &Media::named("silent.mp4")).await;
    assert_eq!(delete(&bed.t, "c.mp4").await, 204);
    // By a fill that did not know yet.
    bed.raw.put("c.mp4", all(&Media::named("silent.mp4"))).await;
    bed.raw.begin("c.mp4").await;
    let run = async |secs| tombstones::run(&*bed.t.app.catalog, &bed.t.app.store, later(&bed.t, secs)).await.unwrap();
    assert_eq!(run(0).await.removed, 0, "it may still come");
    assert_eq!(bed.get("c.mp4").await.status(), 410);
    // Two leases later it cannot any more.
    assert_eq!((run(121).await.removed, run(121).await.removed), (1, 0));
    assert!(bed.raw.get("c.mp4").await.is_none());
    assert!(bed.t.app.store.list_stale().await.unwrap().is_empty());
    assert_eq!(bed.story("c.mp4").await[4..], ["deleted", "removed"]);
    // And even one that comes later than that, drift finds.
    bed.raw.put("c.mp4", all(&Media::named("silent.mp4"))).await;
    assert_eq!(bed.drift(|_| ()).await.leftovers, 1);
    assert!(bed.raw.get("c.mp4").await.is_none());
}

async fn a_viewer_may_see_the_end_and_the_next_one_sees_410(bed: Bed) {
    let media = Media::padded(24 << 20, 1);
    bed.store("c", &media).await;
    let mut watched = bed.get("c.mp4").await.bytes_stream();
    let mut seen = watched.next().await.unwrap().unwrap().len();
    assert_eq!(delete(&bed.t, "c.mp4").await, 204);
    assert_eq!(bed.get("c.mp4").await.status(), 410);
    // All of it, or an error; never a clean end before its end.
    while let Some(chunk) = watched.next().await {
        match chunk {
            Ok(chunk) => seen += chunk.len(),
            Err(_) => return,
        }
    }
    assert_eq!(seen, 24 << 20);
}

/// Whatever meets whatever: the clip ends deleted, once, and nothing is left.
async fn case_42_webhooks_viewers_drift_and_a_deletion_all_at_once(bed: Bed) {
    const LEN: usize = 3 << 20;
    for round in 0..5_u64 {
        let (id, key) = (format!("c{round}"), format!("c{round}.mp4"));
        let faults = Faults::always(Fault::rate(8_000_000));
        let source = bed.t.sim.add_faulty_file("a.mp4", Media::padded(LEN as u64, round), faults);
        assert_eq!(bed.t.hook(&id, &source, "").await.status(), 200);
        let hooks = async {
            for _ in 0..10 {
                assert_eq!(bed.t.hook(&id, &source, "").await.status(), 200);
            }
        };
        let views = async {
            for _ in 0..10 {
                let answer = bed.get(&key).await;
                let status = answer.status();
                assert!([200, 410, 503].contains(&status.as_u16()), "{status}");
                let body = answer.bytes().await;
                assert!(status != 200 || body.is_err() || body.unwrap().len() == LEN, "a clean end before the end");
            }
        };
        let sweeps = async {
            for _ in 0..5 {
                bed.drift(|s| (s.delete_orphans, s.orphan_age) = (true, Duration::ZERO)).await;
            }
        };
        let end = async {
            tokio::time::sleep(Duration::from_millis(round * 150)).await;
            assert_eq!(delete(&bed.t, &key).await, 204);
        };
        tokio::join!(hooks, views, sweeps, end);
        until("nothing runs", async || bed.t.app.engine.running() == 0).await;
        tombstones::run(&*bed.t.app.catalog, &bed.t.app.store, later(&bed.t, 121)).await.unwrap();
        assert_eq!(bed.clip(&key).await.unwrap().state, ClipState::Deleted);
        assert!(bed.raw.get(&key).await.is_none());
        assert!(bed.t.app.store.list_stale().await.unwrap().is_empty());
        let story = bed.story(&key).await;
        assert_eq!(story.iter().filter(|word| *word == "deleted").count(), 1, "{story:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_39_a_kill_before_the_object_is_gone_is_mended() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let place = garage::place();
    let proxy = BucketProxy::start(&place.endpoint).await;
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let mut config = NodeConfig::new(dir.path()).set("store", place.url());
    config.aws = place.aws_through(&proxy.endpoint);
    let mut node = config.start(&sim).await;
    let source = sim.add_file("a.mp4", Media::named("silent.mp4"));
    assert_eq!(node.hook(&sim, "c", &source).await, Some(200));
    until("stored", async || node.api("/api/v1/clips/c.mp4").await.unwrap()["state"] == "stored").await;
    for _ in 0..100 {
        proxy.trouble(Method::DELETE, "", Trouble::Answer(503, "<Error><Code>SlowDown</Code></Error>"));
    }
    let request = node.client.delete(format!("{}/api/v1/clips/c.mp4", node.url)).bearer_auth(TOKEN);
    let deleting = tokio::spawn(request.send());
    until("the row says so", async || node.api("/api/v1/clips/c.mp4").await.unwrap()["state"] == "deleted").await;
    node.kill();
    assert!(deleting.await.unwrap().is_err(), "it did not say that it was done");
    let raw = Raw::bucket(&place);
    assert!(raw.get("c.mp4").await.is_some());

    let t = TestApp::on(sim, dir, &[("store", place.url())], &place.aws()).await;
    assert_eq!(t.client.get(t.link("c.mp4")).send().await.unwrap().status(), 410);
    let report = tombstones::run(&*t.app.catalog, &t.app.store, later(&t, 121)).await.unwrap();
    assert_eq!((report.removed, report.failed), (1, 0));
    assert!(raw.get("c.mp4").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_asked_again() {
    let bed = Bed::folder(&[]).await;
    bed.store("c", &Media::named("silent.mp4")).await;
    assert_eq!(delete(&bed.t, "c.mp4").await, 204);
    // A folder cannot be removed as a file: the store fails.
    let path = bed.t.data.path().join("clips/c.mp4");
    std::fs::create_dir(&path).unwrap();
    let run = async |secs| {
        let report = tombstones::run(&*bed.t.app.catalog, &bed.t.app.store, later(&bed.t, secs)).await.unwrap();
        (report.removed, report.failed)
    };
    assert_eq!(run(121).await, (0, 1));
    assert_eq!(run(125).await, (0, 0), "h48: it makes way for others");
    assert_eq!(run(190).await, (0, 1));
    std::fs::remove_dir(&path).unwrap();
    assert_eq!((run(320).await, run(320).await), ((1, 0), (0, 0)));
    let told = bed.story("c.mp4").await;
    assert_eq!(told[told.len() - 3..], ["deleted", "not_removed", "removed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn i06_a_deletion_reaches_the_other_node_within_seconds() {
    let (sim, place) = (Sim::start(SimOptions::default()).await.unwrap(), garage::place());
    let settings = [("database", postgres::database().await), ("store", place.url())];
    let node = async || {
        let data = Arc::new(tempfile::tempdir().unwrap());
        TestApp::on(sim.clone(), data, &settings, &place.aws()).await
    };
    let (a, b) = (node().await, node().await);
    let source = sim.add_file("a.mp4", Media::padded(3 << 20, 1));
    a.hook("c", &source, "").await;
    a.until("c.mp4", ClipState::Stored).await;
    // Also while the other one fills.
    let slow = sim.add_faulty_file("b.mp4", Media::padded(30 << 20, 1), Faults::always(Fault::rate(100_000)));
    b.hook("slow", &slow, "").await;
    a.until("slow.mp4", ClipState::Filling).await;
    let status = async || b.client.get(b.link("c.mp4")).send().await.unwrap().status();
    let cached = b.data.path().join("cache/c.mp4");
    until("it is cached", async || status().await == 200 && cached.exists()).await;
    assert_eq!((delete(&a, "c.mp4").await, delete(&a, "slow.mp4").await), (204, 204));
    let began = std::time::Instant::now();
    until("it hears", async || status().await == 410).await;
    until("its copy goes", async || !cached.exists()).await;
    until("its fill ends", async || a.app.engine.running() + b.app.engine.running() == 0).await;
    assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
    assert_eq!(b.app.catalog.clip(&"slow.mp4".parse().unwrap()).await.unwrap().unwrap().state, ClipState::Deleted);
}
