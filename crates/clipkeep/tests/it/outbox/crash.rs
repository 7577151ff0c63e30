//! `kill -9` of a real node while it tells.

use std::{process::Command, time::Duration};

use fal_sim::{Media, Sim, SimOptions};

use crate::support::{
    node::{Node, NodeConfig},
    postgres,
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
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "it lives");
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

/// A machine that was suspended wakes up with what it knew: that it was its turn.
#[tokio::test(flavor = "multi_thread")]
async fn case_41_a_node_that_was_suspended_does_not_tell_what_another_told_meanwhile() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let (receiver, dir) = (Receiver::start().await, tempfile::tempdir().unwrap());
    let database = postgres::database().await;
    let config = |name: &str| {
        let config = NodeConfig::new(&dir.path().join(name)).set("database", &database).set("lease", "1s");
        let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        config.set("event_endpoints", &receiver.url).set("event_secret", secret)
    };
    let store = format!("file://{}", dir.path().join("clips").display());
    let sleeper = config("a").set("store", &store).start(&sim).await;
    let signal = |name: &str| Command::new("kill").args([name, &sleeper.pid().to_string()]).status().unwrap();
    let mut told = 0;
    let mut store_one = async |node: &Node| {
        told += 1;
        let source = sim.add_file("a.mp4", Media::named("silent.mp4"));
        assert_eq!(node.hook(&sim, &format!("g{told}"), &source).await, Some(200));
        receiver.until("told", |got| got.len() >= told).await;
    };
    store_one(&sleeper).await;
    let written = "SELECT count(*) FROM events e JOIN endpoints p ON (p.tx, p.id) >= (e.tx, e.id)";
    let client = postgres::connect(&database).await;
    let began = tokio::time::Instant::now();
    while client.query_one(written, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "it is not written down what was told");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    signal("-STOP");
    let other = config("b").set("store", &store).start(&sim).await;
    for _ in 0..3 {
        store_one(&other).await;
    }
    signal("-CONT");
    // Long enough for the one that woke to hear of all that happened.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    store_one(&other).await;
    let ids: Vec<_> = receiver.got().iter().map(|got| got.header("webhook-id").to_owned()).collect();
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!((ids.len(), distinct.len()), (5, 5), "{ids:?}");
}
