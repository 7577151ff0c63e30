//! Case 47: what usage says against what the wire carried, counted at the
//! client's end.

use std::{sync::Arc, time::Duration};

use clipkeep_core::{
    state::ClipState,
    token::{TOKEN_BYTES, TokenInfo, token_hash, token_text},
};
use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use futures_util::future::join_all;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::Instant,
};

use crate::{
    cli::clipkeep,
    support::{app::TestApp, garage, node::NodeConfig, postgres},
};

const LEN: u64 = 20_000_000;

/// How a client reads.
#[derive(Clone, Copy)]
enum Reads {
    All,
    /// Goes away after so many bytes.
    Until(u64),
    /// Rests after each 256 KiB.
    Slowly,
}

/// What came over one connection.
#[derive(Default, Debug)]
struct Came {
    status: u16,
    wire: u64,
    body: u64,
}

/// One request on a connection of its own, with a small window, so that little
/// is on its way when the client goes.
async fn ask(link: &str, method: &str, viewer: &str, more: &[(&str, &str)], reads: Reads) -> Came {
    let url = reqwest::Url::parse(link).unwrap();
    let address = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap()).parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let mut head = format!(
        "{method} {}?{} HTTP/1.1\r\nHost: x\r\nUser-Agent: {viewer}\r\nConnection: close\r\n",
        url.path(),
        url.query().unwrap_or_default()
    );
    more.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let (mut came, mut start, mut buffer) = (Came::default(), Vec::new(), vec![0; 256 * 1024]);
    let mut in_head = true;
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        if read == 0 {
            return came;
        }
        came.wire += read as u64;
        if in_head {
            start.extend_from_slice(&buffer[..read]);
            let Some(end) = start.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            in_head = false;
            came.status = String::from_utf8_lossy(&start[9..12]).parse().unwrap();
            came.body = (start.len() - end - 4) as u64;
        } else {
            came.body += read as u64;
        }
        match reads {
            Reads::Until(enough) if came.body >= enough => return came,
            Reads::Slowly => tokio::time::sleep(Duration::from_millis(2)).await,
            _ => {}
        }
    }
}

/// Everything that viewers do to a stored clip; the bytes of clips they got, and
/// all that came.
async fn everything(link: &str) -> (u64, u64) {
    let all = Reads::All;
    let got = |viewer: &'static str, range: &'static str, reads| async move {
        let came = ask(link, "GET", viewer, &[("Range", range)], reads).await;
        assert_eq!(came.status, 206, "{viewer} {range}");
        came
    };
    let whole = ask(link, "GET", "whole", &[], all).await;
    assert_eq!((whole.status, whole.body), (200, LEN));
    let mut came = vec![
        whole,
        ask(link, "GET", "slow", &[], Reads::Slowly).await,
        ask(link, "GET", "leaves early", &[], Reads::Until(1_000_000)).await,
        ask(link, "GET", "leaves late", &[], Reads::Until(10_000_000)).await,
        got("Safari", "bytes=0-1", all).await,
        got("Safari", "bytes=0-19999999", Reads::Until(3_000_000)).await,
        got("Safari", "bytes=3000000-9999999", all).await,
        got("Chromium", "bytes=0-", Reads::Until(300_000)).await,
        got("Chromium", "bytes=19900000-", all).await,
        got("Chromium", "bytes=300000-", Reads::Until(8_000_000)).await,
        got("prober", "bytes=0-1", all).await,
        got("parts", "bytes=0-9999,5000000-5009999,-10000", all).await,
    ];
    for _ in 0..20 {
        came.push(got("retries", "bytes=0-999999", all).await);
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let etag = client.head(link).send().await.unwrap().headers()["etag"].to_str().unwrap().to_owned();
    for (method, name, value, status) in [
        ("HEAD", "Accept", "*/*", 200),
        ("GET", "If-None-Match", etag.as_str(), 304),
        ("GET", "If-Match", "\"other\"", 412),
        ("GET", "Range", "bytes=99999999-", 416),
        ("POST", "Accept", "*/*", 405),
    ] {
        let empty = ask(link, method, "nothing", &[(name, value)], all).await;
        assert_eq!(empty.status, status, "{method} {name}");
        came.push(Came { body: 0, ..empty });
    }
    let refused = ask(&link.replace("signature=", "signature=x"), "GET", "nobody", &[], all).await;
    assert_eq!(refused.status, 403);
    (came.iter().map(|one| one.body).sum(), came.iter().map(|one| one.wire).sum())
}

/// The usage of `key`, once all is counted.
async fn usage(t: &TestApp, key: &str) -> Value {
    t.app.usage.flush().await;
    t.api(&format!("/api/v1/usage?by=clip&key={key}")).await["usage"][0].clone()
}

fn number(usage: &Value, name: &str) -> u64 {
    usage[name].as_u64().unwrap_or_else(|| panic!("{name} of {usage}"))
}

/// `counted` is what came, or up to 1 % more: what was on its way when clients
/// left.
fn assert_agrees(counted: u64, came: u64) {
    assert!(counted >= came && counted <= came + came / 100, "counted {counted}, came {came}");
}

/// Whether this is what [`everything`] comes to.
fn assert_counts(usage: &Value, (body, wire): (u64, u64)) {
    assert_agrees(number(usage, "viewer_bytes"), body);
    assert!(wire.abs_diff(body) < wire / 100, "heads are little beside {wire}");
    assert_eq!(number(usage, "plays"), 5, "whole, slow, leaves late, Safari, Chromium: {usage}");
    assert!(usage["first_byte_ms"].as_f64().unwrap() > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_47_usage_of_a_stored_clip_is_what_the_wire_carried() {
    let t = TestApp::start().await;
    t.hook("c", &t.sim.add_file("a.mp4", Media::padded(LEN, 3)), "?tenant=acme&model=m1").await;
    t.until("c.mp4", ClipState::Stored).await;
    let came = everything(&t.link("c.mp4")).await;
    let usage = usage(&t, "c.mp4").await;
    assert_counts(&usage, came);
    assert_eq!((number(&usage, "hits"), number(&usage, "cold_fetches")), (32, 0));
    assert_eq!(number(&usage, "aborted_plays"), 1, "who left early: {usage}");
    assert_agrees(number(&usage, "source_bytes"), LEN);
    for by in ["tenant", "model", "day", "hour", "month"] {
        let list = t.api(&format!("/api/v1/usage?by={by}")).await;
        assert_eq!(list["total"]["viewer_bytes"], usage["viewer_bytes"], "{by}");
        assert_eq!(list["usage"][0]["plays"], 5, "{by}: {list}");
    }
    let list = t.api("/api/v1/usage?by=tenant&tenant=acme&model=m1&from=2026-01&to=2999-01-01").await;
    assert_eq!(list["usage"][0]["name"], "acme");
    let metrics = t.client.get(format!("{}/metrics", t.url)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("clipkeep_plays_total 5\n"), "{metrics}");
    assert!(metrics.contains(&format!("clipkeep_viewer_bytes_total {}\n", usage["viewer_bytes"])), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_token_sees_its_own_usage_only() {
    let t = TestApp::start().await;
    for (id, tenant) in [("a", "acme"), ("b", "other")] {
        let source = t.sim.add_file(&format!("{id}.mp4"), Media::padded(100_000, 3));
        t.hook(id, &source, &format!("?tenant={tenant}")).await;
        t.until(&format!("{id}.mp4"), ClipState::Stored).await;
        ask(&t.link(&format!("{id}.mp4")), "GET", "x", &[], Reads::All).await;
    }
    t.app.usage.flush().await;
    let token = token_text(&[7; TOKEN_BYTES]);
    let info = TokenInfo {
        id: "t".to_owned(),
        name: "acme's".to_owned(),
        tenant: "acme".parse().ok(),
        created_at: t.app.clock.now(),
        last_used_at: None,
        revoked_at: None,
    };
    t.app.catalog.create_token(&info, &token_hash(&token)).await.unwrap();
    let get = async |query: &str| {
        let request = t.client.get(format!("{}/api/v1/usage{query}", t.url)).bearer_auth(&token);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    for query in ["?by=clip", "?by=clip&tenant=acme"] {
        let (status, own) = get(query).await;
        let names: Vec<_> = own["usage"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
        assert_eq!((status, names.as_slice()), (200, &["a.mp4".into()][..]), "{query}");
        assert_eq!(own["total"]["viewer_bytes"], own["usage"][0]["viewer_bytes"]);
    }
    assert_eq!(get("?by=clip&key=b.mp4").await.1["usage"], Value::Array(Vec::new()));
    assert_eq!(get("?tenant=other").await.0, 403);
    assert_eq!(t.client.get(format!("{}/api/v1/usage", t.url)).send().await.unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_47_two_nodes_add_up() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let (place, database) = (garage::place(), postgres::database().await);
    let settings = [("database", database), ("store", place.url())];
    let node = async || TestApp::on(sim.clone(), Arc::new(tempfile::tempdir().unwrap()), &settings, &place.aws()).await;
    let (a, b) = (node().await, node().await);
    a.hook("c", &sim.add_file("a.mp4", Media::padded(LEN, 3)), "").await;
    a.until("c.mp4", ClipState::Stored).await;
    let (one, two) = (everything(&a.link("c.mp4")).await, everything(&b.link("c.mp4")).await);
    a.app.usage.flush().await;
    let mut usage = usage(&b, "c.mp4").await;
    // A viewer of two nodes is two.
    usage["plays"] = (number(&usage, "plays") / 2).into();
    assert_counts(&usage, (one.0 + two.0, one.1 + two.1));
    assert_eq!(number(&usage, "hits") + number(&usage, "cold_fetches"), 64);
    assert_agrees(number(&usage, "source_bytes"), LEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_47_a_coalesced_fill_is_charged_once() {
    let t = TestApp::start().await;
    let source = t.sim.add_faulty_file("a.mp4", Media::padded(LEN, 3), Faults::always(Fault::rate(8_000_000)));
    t.hook("c", &source, "?policy=on_demand").await;
    let link = t.link("c.mp4");
    let names: Vec<String> = (0..8).map(|n| format!("viewer {n}")).collect();
    let came = join_all(names.iter().map(|name| ask(&link, "GET", name, &[], Reads::All))).await;
    assert!(came.iter().all(|one| one.body == LEN), "{came:?}");
    t.until("c.mp4", ClipState::Stored).await;
    let usage = usage(&t, "c.mp4").await;
    assert_eq!((number(&usage, "viewer_bytes"), number(&usage, "plays")), (8 * LEN, 8));
    assert_eq!((number(&usage, "cold_fetches"), number(&usage, "hits")), (8, 0));
    let read = number(&usage, "source_bytes");
    assert_eq!(read, t.app.metrics.source_bytes());
    assert!(read <= LEN + LEN / 50, "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_47_a_crash_loses_at_most_a_second() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut node = NodeConfig::new(dir.path()).start(&sim).await;
    node.hook(&sim, "c", &sim.add_file("a.mp4", Media::padded(LEN, 3))).await;
    let stored = async || node.api("/api/v1/clips/c.mp4").await.is_some_and(|clip| clip["state"] == "stored");
    let began = Instant::now();
    while !stored().await {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "it is not stored");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let links = node.client.post(format!("{}/api/v1/clips/c.mp4/links", node.url));
    let link: Value = links.bearer_auth(super::support::node::TOKEN).send().await.unwrap().json().await.unwrap();
    let mut answer = node.client.get(link["url"].as_str().unwrap()).send().await.unwrap();
    // Two megabytes a second; the node dies in the middle of it.
    let (mut read, mut marks) = (0, Vec::new());
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        read += answer.chunk().await.unwrap().map_or(0, |chunk| chunk.len() as u64);
        marks.push((began.elapsed(), read));
        let due = Duration::from_secs_f64(read as f64 / 2_000_000.0);
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
    }
    let dies = began.elapsed();
    node.kill();
    // A second, and what writing takes on a machine that is very busy.
    let safe = marks.iter().rev().find(|(at, _)| *at + Duration::from_millis(6500) < dies).unwrap().1;
    let (code, out, log) = clipkeep(&sim, dir.path(), &["usage", "--by", "clip", "--json"], &[]);
    assert_eq!(code, 0, "{log}");
    let usage: Value = serde_json::from_str(&out).unwrap();
    let counted = number(&usage["usage"][0], "viewer_bytes");
    assert!(safe > 0 && counted >= safe && counted <= LEN, "{counted} of {safe}");
    let (_, table, _) = clipkeep(&sim, dir.path(), &["usage"], &[]);
    assert!(table.contains("PLAYS") && table.contains("total"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_counts_are_kept() {
    let t = TestApp::start().await;
    t.hook("c", &t.sim.add_file("a.mp4", Media::padded(LEN, 3)), "").await;
    t.until("c.mp4", ClipState::Stored).await;
    let link = t.link("c.mp4");
    let first = ask(&link, "GET", "a", &[], Reads::All).await;
    let locked = rusqlite::Connection::open(t.data.path().join("clipkeep.db")).unwrap();
    locked.execute_batch("BEGIN IMMEDIATE").unwrap();
    let second = ask(&link, "GET", "b", &[], Reads::All).await;
    // SQLite gives up after five seconds: that batch failed at least once.
    let began = Instant::now();
    let mut third = Came::default();
    while began.elapsed() < Duration::from_secs(7) {
        third.body += ask(&link, "GET", "c", &[("Range", "bytes=0-99999")], Reads::All).await.body;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    locked.execute_batch("ROLLBACK").unwrap();
    let usage = usage(&t, "c.mp4").await;
    assert_eq!(number(&usage, "viewer_bytes"), first.body + second.body + third.body);
    assert_eq!(number(&usage, "plays"), 2);
}
