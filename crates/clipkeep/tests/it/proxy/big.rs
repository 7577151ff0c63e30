//! Invariant 7: bodies pass at a memory that does not grow with them.

use std::time::Duration;

use fal_sim::{Media, Outage, Sim};
use reqwest::{Body, Response};
use ring::digest;
use serde_json::{Value, json};

use super::{KEY, of_fal, sim};
use crate::support::node::{Node, NodeConfig, TOKEN};

const MIB: usize = 1 << 20;
const LIMIT_KIB: u64 = 110 << 10;

/// A body of 100 MiB: inline data, and behind it what matters.
fn pieces() -> impl Iterator<Item = Vec<u8>> {
    let head = br#"{"image_url":"data:image/png;base64,"#.to_vec();
    let tail = br#"","prompt":"a big fox","seed":11}"#.to_vec();
    std::iter::once(head).chain((0..100).map(|_| vec![b'A'; MIB])).chain([tail])
}

fn hash() -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    pieces().for_each(|piece| hash.update(&piece));
    data_encoding::HEXLOWER.encode(hash.finish().as_ref())
}

async fn call(node: &Node, target: &str) -> Response {
    let body = futures_util::stream::iter(pieces().map(Ok::<_, std::io::Error>));
    let request =
        node.client.post(format!("{}/fal/proxy", node.url)).bearer_auth(TOKEN).header("x-fal-target-url", target);
    let request = request.header("content-type", "application/json").body(Body::wrap_stream(body));
    request.timeout(Duration::from_secs(120)).send().await.unwrap()
}

async fn node(sim: &Sim, dir: &tempfile::TempDir) -> Node {
    let config =
        of_fal(sim).into_iter().fold(NodeConfig::new(dir.path()), |config, (key, value)| config.set(key, value));
    config.start(sim).await
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "the number is worth seeing")]
async fn i07_bodies_of_100_mib_pass_both_ways_in_bounded_memory() {
    let (sim, dir) = (sim().await, tempfile::tempdir().unwrap());
    let mut node = node(&sim, &dir).await;
    let reply: Value = call(&node, "https://queue.fal.run/fal-ai/veo3").await.json().await.unwrap();
    let row = node.api(&format!("/api/v1/generations/{}", reply["request_id"].as_str().unwrap())).await.unwrap();
    assert_eq!((&row["prompt"], &row["seed"]), (&json!("a big fox"), &json!(11)));
    assert_eq!(row["input"]["image_url"], json!({"$omitted_bytes": 100 * MIB + 22}));
    // The node may have asked fal something of its own before.
    let submit = sim.calls().into_iter().find(|call| call.body_len() > 0).unwrap();
    assert_eq!(submit.body_sha256(), hash(), "not a byte is changed");
    assert!(submit.header("content-length").is_some());
    // And a direct call whose answer is as long.
    let source = sim.add_file("a.mp4", Media::named("silent.mp4"));
    let data = "B".repeat(100 * MIB);
    let answer = format!(r#"{{"image":{{"url":"data:image/png;base64,{data}"}},"video":{{"url":"{source}"}}}}"#);
    sim.set_outages(vec![Outage::status(200, &answer).header("x-fal-request-id", "big-1").on("/run")]);
    let text = call(&node, "https://fal.run/fal-ai/veo3").await.text().await.unwrap();
    let ours = text.rsplit('"').nth(1).unwrap();
    assert!(ours.starts_with(&format!("{}/v/big-1.mp4?", node.url)), "{ours}");
    assert!(text == answer.replace(&source, ours));
    let peak = node.memory_kib("VmHWM");
    eprintln!("bodies of 100 MiB both ways: peak resident memory {} MiB", peak >> 10);
    assert!(peak < LIMIT_KIB, "{} MiB", peak >> 10);
    let left = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".tmp")), "{left:?}");
    assert_eq!(node.terminate().await, Some(0));
    let log = std::fs::read_to_string(&node.log).unwrap();
    for secret in [KEY, "fal-secret", TOKEN, &sim.media_url(), "a big fox"] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
}
