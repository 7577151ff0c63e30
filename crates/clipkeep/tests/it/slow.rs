//! Viewers that read a kilobyte a second: neither memory nor the fill suffers.

use std::time::Duration;

use fal_sim::{Media, Sim, SimOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use crate::support::node::{NodeConfig, TOKEN};

const VIEWERS: usize = 1000;
const LEN: u64 = 64 << 20;

#[expect(clippy::print_stderr, reason = "the numbers are worth seeing")]
#[tokio::test(flavor = "multi_thread")]
async fn i07_case_15_a_thousand_slow_viewers_cost_neither_memory_nor_the_fill() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let node = NodeConfig::new(dir.path()).set("policy", "on_demand").start(&sim).await;
    let media = Media::padded_slow_start(LEN, 1);
    let source = sim.add_faulty_file("a.mp4", media.clone(), fal_sim::Faults::always(fal_sim::Fault::rate(10_000_000)));
    assert_eq!(node.hook(&sim, "c", &source).await, Some(200));
    let link = node.client.post(format!("{}/api/v1/clips/c.mp4/links", node.url)).bearer_auth(TOKEN);
    let link: serde_json::Value = link.send().await.unwrap().json().await.unwrap();
    let path = link["url"].as_str().unwrap().replace(&node.url, "");
    let address: std::net::SocketAddr = node.url.replace("http://", "").parse().unwrap();

    let before = node.memory_kib("RssAnon");
    let mut viewers = tokio::task::JoinSet::new();
    for n in 0..VIEWERS {
        let request = format!("GET {path} HTTP/1.1\r\nHost: c\r\nRange: bytes={}-\r\n\r\n", n as u64 * 60_000);
        viewers.spawn(async move {
            let socket = TcpSocket::new_v4().unwrap();
            // What the kernel buffers for them is not what is measured here.
            socket.set_recv_buffer_size(4096).unwrap();
            let mut stream = socket.connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut buffer = [0; 1024];
            let mut read = 0;
            loop {
                read += stream.read(&mut buffer).await.unwrap();
                assert!(read > 0, "broke off");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    let began = tokio::time::Instant::now();
    let mut peak = 0;
    let row = loop {
        peak = peak.max(node.memory_kib("RssAnon"));
        let row = node.api("/api/v1/clips/c.mp4").await.unwrap();
        if row["state"] == "stored" {
            break row;
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "the fill suffers: {row}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(row["sha256"], media.sha256());
    let grown = (peak - before) / 1024;
    eprintln!("a thousand slow viewers of a clip being filled: {grown} MiB more, stored after {:?}", began.elapsed());
    assert!(grown < 150, "{grown} MiB");
    assert!(sim.bytes_served(&source) as f64 <= LEN as f64 * 1.02);
    assert!(viewers.try_join_next().is_none(), "nobody was thrown out");
}
