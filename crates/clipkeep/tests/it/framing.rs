//! Requests that are wrong as messages, and bodies that are none of what is taken.

use clipkeep_core::state::ClipState;
use fal_sim::Media;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    app::TestApp,
    eventually::eventually,
    wire::{connect, exchange, target},
};

#[tokio::test(flavor = "multi_thread")]
async fn h18_h43_messages_are_judged_before_what_they_ask_for() {
    let t = TestApp::start().await;
    let hook = "POST /hooks/fal HTTP/1.1\r\nHost: c\r\n";
    for (what, request, status) in [
        ("one Host", "GET /healthz HTTP/1.1\r\nHost: a.example:80\r\n\r\n".to_owned(), 200),
        ("an absolute target", "GET http://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200),
        ("HTTP/1.0 without Host", "GET /healthz HTTP/1.0\r\n\r\n".to_owned(), 200),
        ("no Host", "GET /healthz HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("no Host, for a clip", "GET /v/c.mp4 HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("two Hosts", "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("two Hosts over HTTP/1.0", "GET /healthz HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400),
        ("an empty Host", "GET /healthz HTTP/1.1\r\nHost:\r\n\r\n".to_owned(), 400),
        ("two Hosts in one", "GET /healthz HTTP/1.1\r\nHost: a, b\r\n\r\n".to_owned(), 200),
        ("a Host with a path", "GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), 400),
        ("a Host with a user", "GET /healthz HTTP/1.1\r\nHost: u@a\r\n\r\n".to_owned(), 400),
        ("a Host with no port", "GET /healthz HTTP/1.1\r\nHost: a:x\r\n\r\n".to_owned(), 400),
        ("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 204),
        ("gzip, chunked", format!("{hook}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501),
        ("chunked twice", format!("{hook}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"), 501),
        ("two lines", format!("{hook}Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 501),
        ("a coded body", format!("{hook}Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"), 415),
        ("identity", format!("{hook}Content-Encoding: identity\r\nContent-Length: 1\r\n\r\nx"), 401),
    ] {
        // (A comma may stand in a name, so «a, b» is refused for its space.)
        let status = if what == "two Hosts in one" { 400 } else { status };
        let answer = exchange(&mut connect(&t.url).await, &request).await;
        assert_eq!(answer.map(|answer| answer.status), Some(status), "{what}");
    }
    let answer = exchange(&mut connect(&t.url).await, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(answer.header("allow").unwrap().contains("GET"));
}

#[tokio::test(flavor = "multi_thread")]
async fn h43_who_closes_its_side_gets_its_answer() {
    let t = TestApp::start().await;
    let media = Media::padded(3 << 20, 71);
    t.hook("c", &t.sim.add_file("a.mp4", media.clone()), "").await;
    t.until("c.mp4", ClipState::Stored).await;
    let link = t.link("c.mp4");
    for target in ["/healthz", target(&link)] {
        let mut stream = connect(&t.url).await;
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: c\r\n\r\n").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let (began, mut all) = (tokio::time::Instant::now(), Vec::new());
        stream.read_to_end(&mut all).await.unwrap();
        assert!(began.elapsed().as_secs() < 30, "{target}: and the connection ends with it");
        assert!(all.starts_with(b"HTTP/1.1 200 OK"), "{target}");
        assert!(target == "/healthz" || all.len() as u64 > media.len(), "{target}: {} bytes", all.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h43_bodies_are_refused_by_what_is_wrong_with_them() {
    let t = TestApp::with(&[("body_timeout", "300ms".to_owned()), ("hook_max_body", "1KiB".to_owned())]).await;
    let auth = format!("Host: c\r\nAuthorization: Bearer {}\r\n", t.token);
    let json = "Content-Type: application/json\r\n";
    let signed: String = t.sim.sign("r", Vec::new()).headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
    let api = format!("POST /api/v1/generations HTTP/1.1\r\n{auth}");
    let hook = format!("POST /hooks/fal HTTP/1.1\r\nHost: c\r\n{signed}");
    for (what, request, status) in [
        ("no JSON by its type", format!("{api}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{{}}"), 415),
        ("without a type", format!("{api}Content-Length: 2\r\n\r\n{{}}"), 415),
        ("no JSON", format!("{api}{json}Content-Length: 2\r\n\r\n{{x"), 400),
        ("too large", format!("{api}{json}Content-Length: 9000001\r\n\r\n{}", " ".repeat(9_000_001)), 413),
        ("too slow", format!("{api}{json}Content-Length: 10\r\n\r\n{{"), 408),
        ("a webhook that is too large", format!("{hook}Content-Length: 1025\r\n\r\n"), 413),
        ("one in chunks", format!("{hook}Transfer-Encoding: chunked\r\n\r\n401\r\n{}\r\n", "x".repeat(1025)), 413),
        ("one that is too slow", format!("{hook}Content-Length: 10\r\n\r\n{{"), 408),
    ] {
        let answer = exchange(&mut connect(&t.url).await, &request).await;
        // Who still sends when it is refused may find the connection gone.
        assert!(answer.is_none_or(|answer| answer.status == status), "{what}");
    }
}

/// Many clients send all of a body before they read a word of the answer.
#[tokio::test(flavor = "multi_thread")]
async fn h43_who_sends_all_of_a_refused_body_first_gets_the_answer() {
    const LEN: usize = 24 << 20;
    let t = TestApp::with(&[("proxy_disk", "1MiB".to_owned())]).await;
    let auth = format!("Authorization: Bearer {}\r\n", t.token);
    let (json, length) = ("Content-Type: application/json\r\n", format!("Content-Length: {LEN}\r\n"));
    for (what, head, status) in [
        ("no token", format!("POST /api/v1/generations HTTP/1.1\r\n{json}"), 401),
        ("no JSON", format!("POST /api/v1/generations HTTP/1.1\r\n{auth}"), 415),
        ("too large", format!("POST /api/v1/generations HTTP/1.1\r\n{auth}{json}"), 413),
        ("a webhook without a signature", "POST /hooks/fal HTTP/1.1\r\n".to_owned(), 401),
        ("nothing there", "PUT /nowhere HTTP/1.1\r\n".to_owned(), 404),
        ("a clip", "POST /v/c.mp4 HTTP/1.1\r\n".to_owned(), 405),
    ] {
        let mut stream = connect(&t.url).await;
        stream.write_all(format!("{head}Host: c\r\n{length}\r\n").as_bytes()).await.unwrap();
        let sent = stream.write_all(&vec![b' '; LEN]).await;
        assert!(sent.is_ok(), "{what}: {sent:?}");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let line = format!("HTTP/1.1 {status}");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(&line) && answer.contains("\r\nconnection: close\r\n"), "{what}: {answer}");
    }
    // Who never ends is not waited for.
    let mut stream = connect(&t.url).await;
    stream.write_all(format!("PUT /nowhere HTTP/1.1\r\nHost: c\r\n{length}\r\nx").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 404"));
    eventually("its place is free", || async {
        let metrics = t.client.get(format!("{}/metrics", t.url)).send().await.unwrap().text().await.unwrap();
        let open = metrics.lines().find_map(|line| line.strip_prefix("clipkeep_connections "));
        (open.expect("a gauge") == "1").then_some(())
    })
    .await;
}
