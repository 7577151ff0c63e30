//! `kill -9` of a real node while it tells.

use std::{process::Command, time::Duration};

use fal_sim::{Media, Sim, SimOptions};

use crate::support::{
    node::NodeConfig,
    receiver::{Receiver, Reply},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_between_the_post_and_its_commit_tells_again() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let (receiver, dir) = (Receiver::start().await, tempfile::tempdir().unwrap());
    let config = NodeConfig::new(dir.path()).set("event_endpoints", &receiver.url).set("lease", "1s");
    let mut node = config.start(&sim).await;
    let pid = node.pid().to_string();
    receiver.answer(move |_| {
        // It has taken the event, and the node does not live to know.
        Command::new("kill").args(["-9", &pid]).status().unwrap();
        Reply::Status(200)
    });
    let source = sim.add_file("a.mp4", Media::named("silent.mp4"));
    assert_eq!(node.hook(&sim, "g", &source).await, Some(200));
    receiver.until("told", |got| !got.is_empty()).await;
    let began = tokio::time::Instant::now();
    while !node.is_dead() {
        assert!(began.elapsed() < Duration::from_secs(10), "it lives");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    receiver.answer(|_| Reply::Status(200));
    let mut node = config.start(&sim).await;
    let got = receiver.until("told again", |got| got.len() >= 2).await;
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"), "the app can tell that it knows this one");
    assert_eq!(got[1].json()["data"]["key"], "g.mp4");
    assert_eq!(node.terminate().await, Some(0));
    let log = std::fs::read_to_string(&node.log).unwrap();
    assert!(!log.contains("hunter2"), "an endpoint's URL is a secret: {log}");
}
