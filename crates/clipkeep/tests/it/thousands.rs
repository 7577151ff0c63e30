//! Invariant 13, at its size: ten thousand viewers at one node, a tenth of whom
//! read nothing, hold up no webhook, cost little memory, and leave nothing behind.

use std::{process::Command, sync::Arc, time::Duration};

use fal_sim::{Media, Sim, SimOptions};
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::Instant,
};

use crate::support::{
    eventually::eventually,
    node::{Node, NodeConfig, TOKEN},
    wire::{read, target},
};

const VIEWERS: usize = 10_000;
const STALLED: usize = 1_000;
/// Of which connections get five eighths.
const FILES: u32 = 20_000;
/// What a task keeps is larger where nothing is optimised.
const LIMIT_KIB: u64 = if cfg!(debug_assertions) { 360 << 10 } else { 300 << 10 };
const LEN: u64 = 64 << 20;
const PIECE: u64 = 16 << 10;

fn open_files(node: &Node) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap().count()
}

/// Lets this process have a connection for each viewer.
fn raise_limit() {
    let files = format!("--nofile={FILES}:{FILES}");
    let status = Command::new("prlimit").args(["--pid", &std::process::id().to_string(), &files]).status().unwrap();
    assert!(status.success(), "this test needs {FILES} open files for itself and for its node: raise `ulimit -n`");
}

async fn connect(node: &Node) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // What the kernel buffers for them is not what is measured here.
    socket.set_recv_buffer_size(32 << 10).unwrap();
    socket.connect(node.url.trim_start_matches("http://").parse().unwrap()).await.unwrap()
}

/// Asks for a piece, and reads it.
async fn watch(mut stream: TcpStream, target: &str, number: usize) -> TcpStream {
    let from = number as u64 * 4093 % (LEN - PIECE);
    let range = format!("Range: bytes={from}-{}", from + PIECE - 1);
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: c\r\n{range}\r\n\r\n").as_bytes()).await.unwrap();
    let answer = read(&mut stream, false).await.expect("a viewer was thrown out");
    assert_eq!((answer.status, answer.body.len() as u64), (206, PIECE));
    stream
}

#[expect(clippy::print_stderr, reason = "the numbers are worth seeing")]
#[tokio::test(flavor = "multi_thread")]
async fn i13_ten_thousand_viewers_hold_up_no_webhook() {
    raise_limit();
    let (sim, dir) = (Sim::start(SimOptions::default()).await.unwrap(), tempfile::tempdir().unwrap());
    let config = NodeConfig { files: Some(FILES), ..NodeConfig::new(dir.path()) };
    let node = config.set("max_connections", "11000").set("send_timeout", "10m").start(&sim).await;
    assert_eq!(node.hook(&sim, "c", &sim.add_file("a.mp4", Media::padded(LEN, 1))).await, Some(200));
    let link = eventually("stored", async || {
        let row = node.api("/api/v1/clips/c.mp4").await?;
        (row["state"] == "stored").then_some(())?;
        let link = node.client.post(format!("{}/api/v1/clips/c.mp4/links", node.url)).bearer_auth(TOKEN);
        Some(link.send().await.ok()?.json::<Value>().await.ok()?["url"].as_str()?.to_owned())
    })
    .await;
    let (path, before) = (Arc::new(target(&link).to_owned()), open_files(&node));

    // A tenth asks for all of it and reads nothing; the others watch.
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut stream = connect(&node).await;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: c\r\n\r\n").as_bytes()).await.unwrap();
        stalled.push(stream);
    }
    let (at_once, mut joined) = (Arc::new(Semaphore::new(200)), JoinSet::new());
    for number in STALLED..VIEWERS {
        let (stream, path, at_once) = (connect(&node).await, Arc::clone(&path), Arc::clone(&at_once));
        joined.spawn(async move {
            let stream = {
                let _turn = at_once.acquire().await.unwrap();
                watch(stream, &path, number).await
            };
            (stream, number)
        });
    }
    let watching = joined.join_all().await;
    assert_eq!((watching.len() + stalled.len(), open_files(&node) > VIEWERS), (VIEWERS, true));

    // All of them stay; those who watch go on, and webhooks land meanwhile.
    let mut again = JoinSet::new();
    for (stream, number) in watching {
        let (path, at_once) = (Arc::clone(&path), Arc::clone(&at_once));
        again.spawn(async move {
            let _turn = at_once.acquire().await.unwrap();
            watch(stream, &path, number + 7).await
        });
    }
    let source = sim.add_file("b.mp4", Media::named("silent.mp4"));
    let mut took = Vec::new();
    for n in 0..50 {
        let began = Instant::now();
        assert_eq!(node.hook(&sim, &format!("h{n}"), &source).await, Some(200));
        took.push(began.elapsed());
    }
    took.sort_unstable();
    // Pages of the clip's file are the kernel's, who takes them back.
    let memory = node.memory_kib("RssAnon");
    let (middle, longest) = (took[took.len() / 2], took[took.len() - 1]);
    eprintln!("{VIEWERS} viewers: webhooks in {middle:?}, {longest:?} at most; {} MiB of memory", memory >> 10);
    assert!(middle < Duration::from_secs(1), "{took:?}");
    assert!(memory < LIMIT_KIB, "{} MiB", memory >> 10);

    let watching = again.join_all().await;
    assert_eq!(watching.len(), VIEWERS - STALLED);
    drop((watching, stalled));
    eventually("they leave nothing behind", async || (open_files(&node) < before + 50).then_some(())).await;
}
