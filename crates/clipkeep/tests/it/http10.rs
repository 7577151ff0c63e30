//! HTTP/1.0, which nginx speaks to what stands behind it unless told otherwise:
//! there a body without a length ends with its connection, however that ends.

use std::time::Duration;

use clipkeep_core::state::ClipState;
use fal_sim::{Fault, Faults, Media};
use serde_json::json;
use tokio::{io::AsyncReadExt, time::Instant};

use crate::{
    cold::all,
    support::{
        app::TestApp,
        nginx::Nginx,
        wire::{Answer, connect, exchange, target},
    },
};

const LEN: u64 = 3 << 20;

/// Ways of a source to say no length, and to break off.
fn cuts() -> Vec<(&'static str, Fault)> {
    let none = |fault: Fault| Fault { no_ranges: true, ..fault };
    vec![
        ("chunked, cut", none(Fault { chunked: true, ..Fault::cut_at(2 << 20) })),
        ("closed at the end, cut", none(Fault { close_delimited: true, ..Fault::cut_at(2 << 20) })),
        ("chunked, cut at once", none(Fault { chunked: true, ..Fault::cut_at(100_000) })),
        ("chunked, stalling", none(Fault { chunked: true, ..Fault::stall_at(1 << 20) })),
    ]
}

fn request(method: &str, target: &str, more: &str) -> String {
    format!("{method} {target} HTTP/1.0\r\n{more}\r\n")
}

/// Whole, with its length; or an answer that nobody takes for the clip.
fn assert_whole_or_none(answer: Option<Answer>, media: &Media, what: &str) -> u16 {
    // A connection that ends without an answer is none, either.
    let Some(answer) = answer else { return 0 };
    match answer.status {
        200 => {
            assert_eq!(answer.length(), Some(media.len() as usize), "{what}: {:?}", answer.headers);
            assert!(answer.body == all(media) || answer.body.is_empty() && what.starts_with("HEAD"), "{what}");
        }
        206 => assert_eq!(answer.length(), Some(answer.body.len()), "{what}"),
        status => {
            assert!(status >= 500, "{what}: {status}");
            assert!(answer.header("etag").is_none(), "{what}: {:?}", answer.headers);
            let caching = answer.header("cache-control").unwrap_or("no-store");
            assert_eq!(caching, "no-store", "{what}");
        }
    }
    answer.status
}

#[tokio::test(flavor = "multi_thread")]
async fn h17_i05_i06_a_clip_of_unknown_length_that_breaks_off_is_never_a_short_200() {
    let all_cuts = cuts().into_iter().map(async |(what, fault)| {
        // It breaks off for ever, so there is never a whole to send.
        let settings = [("retry_base", "5s".to_owned()), ("retry_max", "5s".to_owned())];
        let t = TestApp::with(&settings).await;
        let media = Media::padded_slow_start(LEN, 61);
        let source = t.sim.add_faulty_file("a.mp4", media.clone(), Faults::always(fault));
        t.hook("c", &source, "?policy=on_demand").await;
        let link = t.link("c.mp4");
        let asks = [
            ("GET", ""),
            ("GET", "Connection: keep-alive\r\n"),
            ("GET", "Range: bytes=0-99\r\n"),
            ("GET", "Range: bytes=0-99,200-299\r\n"),
            ("HEAD", ""),
        ];
        let began = Instant::now();
        let answers = futures_util::future::join_all(asks.map(async |(method, more)| {
            let mut stream = connect(&t.url).await;
            (exchange(&mut stream, &request(method, target(&link), more)).await, format!("{method} {more} {what}"))
        }));
        for (answer, what) in answers.await {
            assert_eq!(assert_whole_or_none(answer, &media, &what), 503, "{what}");
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{what}: {:?}", began.elapsed());
    });
    futures_util::future::join_all(all_cuts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h17_who_waits_for_a_length_gets_the_clip_with_it() {
    let whole = Fault { no_ranges: true, chunked: true, rate: Some(3_000_000), ..Fault::default() };
    let closed = Fault { no_ranges: true, close_delimited: true, rate: Some(3_000_000), ..Fault::default() };
    let cut = Fault { no_ranges: true, chunked: true, ..Fault::cut_at(1 << 20) };
    for (what, faults) in [
        ("chunked", Faults::always(whole.clone())),
        ("closed at the end", Faults::always(closed)),
        ("chunked, cut once", Faults { first: vec![cut], then: whole }),
    ] {
        let t = TestApp::start().await;
        let media = Media::padded_slow_start(LEN, 62);
        let source = t.sim.add_faulty_file("a.mp4", media.clone(), faults);
        t.hook("c", &source, "?policy=on_demand").await;
        let link = t.link("c.mp4");
        let get = async |more: &str| {
            let mut stream = connect(&t.url).await;
            exchange(&mut stream, &request("GET", target(&link), more)).await.unwrap()
        };
        // One that can tell an end from a break gets it as it comes, but nobody may keep it.
        let new = async {
            let response = t.client.get(&link).send().await.unwrap();
            assert!(!response.headers().contains_key("etag"), "{what}");
            assert_eq!(response.headers()["cache-control"], "no-store", "{what}");
            response.bytes().await
        };
        let (old, new) = tokio::join!(get(""), new);
        assert_eq!((old.status, old.length()), (200, Some(LEN as usize)), "{what}");
        assert!(old.body == all(&media), "{what}");
        // (Where the source broke off, so did this.)
        assert!(new.is_ok_and(|body| body == all(&media)) || what.ends_with("cut once"), "{what}");
        t.until("c.mp4", ClipState::Stored).await;
        let part = get("Range: bytes=100-199\r\n").await;
        assert_eq!((part.status, part.header("etag")), (206, old.header("etag")), "{what}: ranges of what went out");
        assert!(part.body == all(&media)[100..200], "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h17_a_real_nginx_with_its_defaults_never_keeps_a_part_for_the_whole() {
    for (what, fault) in cuts() {
        let t = TestApp::with(&[("public", "true".to_owned())]).await;
        let media = Media::padded_slow_start(LEN, 63);
        let faults =
            Faults { first: vec![fault; 2], then: Fault { no_ranges: true, chunked: true, ..Fault::default() } };
        let source = t.sim.add_faulty_file("a.mp4", media.clone(), faults);
        t.hook("c", &source, "?policy=on_demand").await;
        let nginx = Nginx::before(&t.url, "").await;
        let began = Instant::now();
        loop {
            let get = "GET /v/c.mp4 HTTP/1.1\r\nHost: c\r\nConnection: close\r\n\r\n";
            let answer = exchange(&mut nginx.connect().await, get).await;
            if assert_whole_or_none(answer, &media, what) == 200 {
                break;
            }
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{what}: {}", nginx.log());
        }
        t.until("c.mp4", ClipState::Stored).await;
        for more in ["", "Range: bytes=2097152-\r\n"] {
            let get = format!("GET /v/c.mp4 HTTP/1.1\r\nHost: c\r\nConnection: close\r\n{more}\r\n");
            let answer = exchange(&mut nginx.connect().await, &get).await.unwrap();
            assert!(answer.body == all(&media)[if more.is_empty() { 0 } else { 2 << 20 }..], "{what}, {more}");
            assert!(answer.header("etag").is_some(), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h17_an_export_has_a_length_or_is_refused() {
    let t = TestApp::start().await;
    let auth = format!("Authorization: Bearer {}\r\n", t.token);
    let export = async |format: &str| {
        let target = format!("/api/v1/clips/export?format={format}");
        exchange(&mut connect(&t.url).await, &request("GET", &target, &auth)).await.unwrap()
    };
    let add = async |ids: std::ops::Range<u32>| {
        for id in ids {
            let body = json!({"request_id": format!("g{id}"), "prompt": "fox ".repeat(15_000)});
            let made = t.client.post(format!("{}/api/v1/generations", t.url)).bearer_auth(&t.token).json(&body);
            assert!(made.send().await.unwrap().status().is_success());
            t.hook(&format!("g{id}"), &t.sim.add_file("a.mp4", Media::named("silent.mp4")), "?policy=on_demand").await;
        }
    };
    add(0..2).await;
    for format in ["jsonl", "csv", "parquet"] {
        let answer = export(format).await;
        assert_eq!((answer.status, answer.length()), (200, Some(answer.body.len())), "{format}");
        assert!(!answer.body.is_empty(), "{format}");
    }
    add(2..80).await;
    let answer = export("jsonl").await;
    assert_eq!((answer.status, answer.length()), (426, Some(answer.body.len())));
    assert!(String::from_utf8_lossy(&answer.body).contains("proxy_http_version 1.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn h17_connections_are_kept_and_events_flow_over_http_1_0_too() {
    let t = TestApp::start().await;
    let media = Media::named("silent.mp4");
    t.hook("c", &t.sim.add_file("a.mp4", media.clone()), "").await;
    t.until("c.mp4", ClipState::Stored).await;
    let link = t.link("c.mp4");
    let mut stream = connect(&t.url).await;
    let length = media.len().to_string();
    for (method, more, status, length) in [
        ("GET", "", 200, &*length),
        ("HEAD", "", 200, &length),
        ("GET", "Range: bytes=0-9\r\n", 206, "10"),
        ("GET", "Range: bytes=0-9,20-29\r\n", 206, ""),
        ("GET", "If-None-Match: *\r\n", 304, ""),
        ("GET", "", 200, &length),
    ] {
        let ask = request(method, target(&link), &format!("Connection: keep-alive\r\n{more}"));
        let answer = exchange(&mut stream, &ask).await.unwrap();
        assert_eq!(answer.status, status, "{method} {more}");
        let told = answer.header("content-length").unwrap_or_default();
        assert!(length.is_empty() || told == length, "{method} {more}: {told}");
    }
    let auth = format!("Authorization: Bearer {}\r\n", t.token);
    let ask = request("GET", "/api/v1/events?after=0-0", &auth);
    tokio::io::AsyncWriteExt::write_all(&mut stream, ask.as_bytes()).await.unwrap();
    let mut told = Vec::new();
    while !String::from_utf8_lossy(&told).contains("event: clip.stored") {
        assert!(stream.read_buf(&mut told).await.unwrap() > 0, "{}", String::from_utf8_lossy(&told));
    }
}
