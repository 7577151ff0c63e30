//! Durable webhooks per second.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clipkeep::catalog::{
    group::{HookLimits, HookWriter},
    open::{Database, Rules, open},
};
use clipkeep_core::hook::{HookQuery, fal};
use fal_sim::{Delivery, Sim, SimOptions};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    run::median,
    support::{node::NodeConfig, postgres},
};

const CONNECTIONS: usize = 96;
const WEBHOOKS: usize = 24_000;
const ROUNDS: usize = 3;

pub(crate) async fn run() {
    println!("\n## Durable webhooks\n");
    println!("| what | per second | p50 | p99 |\n| --- | ---: | ---: | ---: |");
    over_http("SQLite", None).await;
    over_http("PostgreSQL", Some(postgres::database().await)).await;
    let shared = commits("SQLite, shared commits", HookLimits::default().batch, 12_000).await;
    let single = commits("SQLite, one commit per webhook", 1, 1_500).await;
    println!("\nShared commits take {:.1} × as many webhooks as one commit each.", shared / single);
}

/// The whole way: HTTP, signature, JSON, commit, answer; load generator beside it.
async fn over_http(name: &str, database: Option<String>) {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut config = NodeConfig::new(dir.path());
    if let Some(url) = database {
        config = config.set("database", url);
    }
    let node = config.start(&sim).await;
    let address = node.url.replace("http://", "");
    let (mut rates, mut all) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let shares: Vec<Vec<Vec<u8>>> = (0..CONNECTIONS).map(|c| requests(&sim, round, c)).collect();
        let began = Instant::now();
        let tasks: Vec<_> = shares.into_iter().map(|share| tokio::spawn(post(address.clone(), share))).collect();
        for task in tasks {
            all.extend(task.await.unwrap());
        }
        rates.push((WEBHOOKS / CONNECTIONS * CONNECTIONS) as f64 / began.elapsed().as_secs_f64());
    }
    all.sort();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!("| {name}, over HTTP | {:.0} | {:.1} ms | {:.1} ms |", median(rates), at(0.5), at(0.99));
}

fn requests(sim: &Sim, round: usize, connection: usize) -> Vec<Vec<u8>> {
    (0..WEBHOOKS / CONNECTIONS).map(|n| request(&delivery(sim, &format!("r{round}-c{connection}-n{n}")))).collect()
}

fn delivery(sim: &Sim, id: &str) -> Delivery {
    let payload = json!({"seed": 7, "video": {"content_type": "video/mp4", "file_name": "out.mp4", "file_size": null,
        "url": format!("https://v3b.fal.media/files/b/0a86c7d1/{id}.mp4")}});
    sim.sign(id, sim.webhook_body(id, &payload))
}

/// Nothing is fetched: the clips wait for a viewer.
fn request(delivery: &Delivery) -> Vec<u8> {
    let mut head = "POST /hooks/fal?policy=on_demand&model=fal-ai/veo3 HTTP/1.1\r\nHost: clips\r\n".to_owned();
    for (name, value) in &delivery.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", delivery.body.len()));
    [head.as_bytes(), &delivery.body].concat()
}

async fn post(address: String, requests: Vec<Vec<u8>>) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 4096];
    let mut took = Vec::with_capacity(requests.len());
    for request in requests {
        let began = Instant::now();
        stream.write_all(&request).await.unwrap();
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..read]));
        took.push(began.elapsed());
    }
    took
}

/// The commits alone, in this process.
async fn commits(name: &str, batch: usize, count: usize) -> f64 {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let dir = tempfile::tempdir().unwrap();
        let catalog = open(&Database::Sqlite(dir.path().join("c.db")), Rules::default()).await.unwrap();
        let writer = Arc::new(HookWriter::start(catalog, HookLimits { batch, ..HookLimits::default() }));
        let query = HookQuery::parse("policy=on_demand").unwrap();
        let decode = |n: usize| {
            let body = delivery(&sim, &format!("n{n}")).body;
            fal::decode(&body.clone().into(), None, &query, clipkeep_core::time::Timestamp::from_secs(1))
                .unwrap()
                .record
        };
        let records: Vec<_> = (0..count).map(decode).collect();
        let began = Instant::now();
        let tasks: Vec<_> = records
            .chunks(count.div_ceil(CONNECTIONS))
            .map(|share| {
                let (writer, share) = (Arc::clone(&writer), share.to_vec());
                tokio::spawn(async move {
                    for record in share {
                        writer.record(record).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        rates.push(count as f64 / began.elapsed().as_secs_f64());
        writer.shutdown().await;
    }
    let rate = median(rates);
    println!("| {name}, commits alone | {rate:.0} | | |");
    rate
}
