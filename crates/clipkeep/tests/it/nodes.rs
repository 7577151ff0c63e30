//! Two nodes on one PostgreSQL and one Garage.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clipkeep_core::state::ClipState;
use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use futures_util::future::join_all;
use reqwest::Client;
use serde_json::json;

use crate::{
    cold::{all, header, served},
    support::{app::TestApp, garage, node::NodeConfig, postgres},
};

const LEN: u64 = 12 << 20;

struct Shared {
    sim: Sim,
    place: garage::Place,
    database: String,
}

impl Shared {
    async fn new() -> Self {
        let sim = Sim::start(SimOptions::default()).await.unwrap();
        Self { sim, place: garage::place(), database: postgres::database().await }
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let lease = ("lease", "5s".to_owned());
        vec![("database", self.database.clone()), ("store", self.place.url()), lease]
    }

    async fn node(&self) -> TestApp {
        let data = Arc::new(tempfile::tempdir().unwrap());
        TestApp::on(self.sim.clone(), data, &self.settings(), &self.place.aws()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_16_viewers_of_two_nodes_get_the_same_bytes_and_one_object_is_kept() {
    let shared = Shared::new().await;
    let (a, b) = (shared.node().await, shared.node().await);
    let media = Media::padded_slow_start(LEN, 1);
    let expected = served(&all(&media));
    let source = shared.sim.add_faulty_file("a.mp4", media.clone(), Faults::always(Fault::rate(2_000_000)));
    a.hook("c", &source, "?policy=on_demand").await;
    // Who comes first fills; the other node's viewers read the source through it.
    let get = async |t: &TestApp, n: usize| {
        tokio::time::sleep(Duration::from_millis(n as u64 * 50)).await;
        let start = n * 1_500_000;
        let request = t.client.get(t.link("c.mp4")).header("range", format!("bytes={start}-{}", start + 70_000));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 206, "viewer {n}");
        let etag = header(&response, "etag");
        assert!(response.bytes().await.unwrap() == expected.slice(start..=start + 70_000), "viewer {n}");
        etag
    };
    let etags = join_all((0..8).map(|n| get(if n % 2 == 0 { &a } else { &b }, n))).await;
    assert!(etags.iter().all(|etag| *etag == etags[0]), "{etags:?}");
    let clip = a.until("c.mp4", ClipState::Stored).await;
    assert_eq!((clip.sealed.unwrap().sha256, clip.attempts), (media.sha256(), 1));
    // Within seconds both nodes know that it is stored.
    for t in [&a, &b] {
        let whole = t.client.get(t.link("c.mp4")).send().await.unwrap();
        assert_eq!(header(&whole, "etag"), etags[0]);
        assert!(whole.bytes().await.unwrap() == expected);
    }
    assert!(a.app.store.list_stale().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn i06_a_node_hears_within_seconds_what_another_changed() {
    let shared = Shared::new().await;
    let (a, b) = (shared.node().await, shared.node().await);
    let source = shared.sim.add_file("a.mp4", Media::padded(LEN, 2));
    a.hook("c", &source, "").await;
    a.until("c.mp4", ClipState::Stored).await;
    let unsigned = async || b.client.get(format!("{}/v/c.mp4", b.url)).send().await.unwrap().status();
    assert_eq!(b.client.get(b.link("c.mp4")).send().await.unwrap().status(), 200);
    assert_eq!(unsigned().await, 403);
    a.register(&json!({ "request_id": "c", "public": true })).await;
    let began = Instant::now();
    while unsigned().await != 200 {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_16_a_node_that_is_killed_is_succeeded() {
    let shared = Shared::new().await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = NodeConfig::new(dir.path());
    for (name, value) in shared.settings() {
        config = config.set(name, value);
    }
    config.aws = shared.place.aws();
    let mut killed = config.start(&shared.sim).await;
    let media = Media::padded_slow_start(LEN, 2);
    let expected = served(&all(&media));
    let source = shared.sim.add_faulty_file("a.mp4", media.clone(), Faults::always(Fault::rate(1_000_000)));
    assert_eq!(killed.hook(&shared.sim, "c", &source).await, Some(200));
    while shared.sim.bytes_served(&source) < LEN / 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let b = shared.node().await;
    let viewer = {
        let link = b.link("c.mp4");
        let client: Client = b.client.clone();
        tokio::spawn(async move { client.get(link).send().await.unwrap().bytes().await })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    killed.kill();
    shared.sim.set_faults(&source, Faults::none());
    // A viewer of the other node does not notice.
    assert!(viewer.await.unwrap().unwrap() == expected);
    let clip = b.until("c.mp4", ClipState::Stored).await;
    assert_eq!(clip.sealed.unwrap().sha256, media.sha256());
    let history = b.api("/api/v1/clips/c.mp4/history").await;
    let stored = history["history"].as_array().unwrap().iter().filter(|line| line["event"] == "stored").count();
    assert_eq!(stored, 1);
    assert!(b.app.store.list_stale().await.unwrap().is_empty());
}
