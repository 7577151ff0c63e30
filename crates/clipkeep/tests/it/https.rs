//! A source behind real TLS, as providers have it.

use std::{sync::Arc, time::Duration};

use fal_sim::{Media, Sim, SimOptions};
use parking_lot::Mutex;
use serde_json::Value;

use crate::support::{
    node::{Node, NodeConfig},
    tls::{certificate, front},
};

async fn until(node: &Node, key: &str, done: impl Fn(&Value) -> bool) -> Value {
    let began = tokio::time::Instant::now();
    loop {
        let row = node.api(&format!("/api/v1/clips/{key}")).await.unwrap();
        if done(&row) {
            return row;
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{row}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i08_case_28_only_a_source_that_proves_its_name_is_asked() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (trusted, stranger) = (certificate(dir.path(), "trusted"), certificate(dir.path(), "stranger"));
    let acceptor = Arc::new(Mutex::new(stranger));
    let port = front(sim.media_url().replace("http://", ""), Arc::clone(&acceptor)).await;
    let mut config = NodeConfig::new(&dir.path().join("data")).set("source_allow_http", "false");
    config.aws.push(("SSL_CERT_FILE".to_owned(), dir.path().join("trusted.pem").display().to_string()));
    let node = config.start(&sim).await;

    let media = Media::named("moov-last.mp4");
    let plain = sim.add_file("a.mp4", media.clone());
    let secure = plain.replace(&sim.media_url(), &format!("https://127.0.0.1:{port}"));
    assert_eq!(node.hook(&sim, "tls", &secure).await, Some(200));
    let row = until(&node, "tls.mp4", |row| row["last_error"].is_string()).await;
    assert_eq!(
        (&row["state"] != "stored", row["last_error"].as_str()),
        (true, Some("no TLS connection to the source"))
    );
    assert!(sim.requests_for(&plain).is_empty());

    // The source's certificate changes to one that is trusted.
    *acceptor.lock() = trusted;
    let row = until(&node, "tls.mp4", |row| row["state"] == "stored").await;
    assert_eq!(row["sha256"], media.sha256());

    // And without TLS nothing is asked at all.
    assert_eq!(node.hook(&sim, "plain", &plain).await, Some(200));
    let served = sim.requests_for(&plain).len();
    until(&node, "plain.mp4", |row| row["state"] == "rejected").await;
    assert_eq!(sim.requests_for(&plain).len(), served);
}
