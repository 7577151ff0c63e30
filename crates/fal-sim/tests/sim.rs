//! The simulator as its clients see it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use fal_sim::{Fault, Faults, Media, Sim, SimOptions, WebhookFaults};
use reqwest::Client;
use serde_json::{Value, json};

async fn sim() -> Sim {
    let options = SimOptions {
        queue_time: Duration::from_millis(30),
        run_time: Duration::from_millis(30),
        ..SimOptions::default()
    };
    Sim::start(options).await.unwrap()
}

fn client() -> Client {
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// A file with these faults, and what a plain GET of it gives.
async fn get(faults: Fault) -> (Sim, reqwest::Result<reqwest::Response>) {
    let sim = sim().await;
    let url = sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(faults));
    let response = client().get(url).send().await;
    (sim, response)
}

#[tokio::test]
async fn the_media_host_keeps_to_rfc_9110_unless_told_otherwise() {
    let (sim, media) = (sim().await, Media::named("moov-last.mp4"));
    let url = sim.add_file("a.mp4", media.clone());
    let whole = client().get(&url).send().await.unwrap();
    let etag = whole.headers()["etag"].clone();
    assert_eq!(whole.bytes().await.unwrap(), media.chunk(0..media.len()));
    let ask = |range: &str| client().get(&url).header("range", range.to_owned());
    let part = ask("bytes=10-19").header("if-range", etag).send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], format!("bytes 10-19/{}", media.len()));
    assert_eq!(part.bytes().await.unwrap(), media.chunk(10..20));
    assert_eq!(ask("bytes=10-19").header("if-range", "\"old\"").send().await.unwrap().status(), 200);
    assert_eq!(ask(&format!("bytes={}-", media.len())).send().await.unwrap().status(), 416);
    assert_eq!(sim.requests_for(&url).len(), 4);
    assert_eq!(sim.bytes_served(&url), media.len() * 2 + 10);
    assert_eq!(client().get(format!("{}/files/b/0/none", sim.media_url())).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn answers_can_be_errors_pages_and_redirects() {
    for status in [403, 404, 410, 429, 500, 503] {
        let fault = Fault { retry_after: Some("7".into()), ..Fault::status(status) };
        let response = get(fault).await.1.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["retry-after"], "7");
    }
    let page = get(Fault::page("text/html", "<html>gone</html>")).await.1.unwrap();
    assert_eq!((page.status().as_u16(), page.headers()["content-type"].to_str().unwrap()), (200, "text/html"));
    assert_eq!(page.text().await.unwrap(), "<html>gone</html>");
    let redirect = get(Fault::redirect("/elsewhere")).await.1.unwrap();
    assert_eq!((redirect.status().as_u16(), redirect.headers()["location"].to_str().unwrap()), (302, "/elsewhere"));
}

#[tokio::test]
async fn bodies_can_be_cut_chunked_too_long_and_unbounded() {
    let whole = Media::named("silent.mp4");
    let cut = get(Fault::cut_at(1000)).await.1.unwrap();
    assert_eq!(cut.content_length(), Some(whole.len()));
    assert!(cut.bytes().await.is_err());
    let chunked = get(Fault { chunked: true, ..Fault::default() }).await.1.unwrap();
    assert_eq!(chunked.content_length(), None);
    assert_eq!(chunked.bytes().await.unwrap(), whole.chunk(0..whole.len()));
    assert!(get(Fault { chunked: true, ..Fault::cut_at(1000) }).await.1.unwrap().bytes().await.is_err());
    let closed = get(Fault { close_delimited: true, ..Fault::cut_at(1000) }).await.1.unwrap();
    assert_eq!(closed.bytes().await.unwrap(), whole.chunk(0..1000));
    let longer = get(Fault { chunked: true, extra: 100, ..Fault::default() }).await.1.unwrap();
    assert_eq!(longer.bytes().await.unwrap().len() as u64, whole.len() + 100);
    let lie = get(Fault { content_length: Some((whole.len() + 5).to_string()), ..Fault::default() }).await.1.unwrap();
    assert!(lie.bytes().await.is_err());
}

#[tokio::test]
async fn bodies_can_be_slow_to_begin_throttled_and_stalled() {
    let began = Instant::now();
    get(Fault { delay_ms: 200, ..Fault::default() }).await.1.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(200));
    let began = Instant::now();
    get(Fault::rate(60_000)).await.1.unwrap().bytes().await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    let (sim, stalled) = get(Fault::stall_at(5000)).await;
    let body = tokio::time::timeout(Duration::from_millis(300), stalled.unwrap().bytes()).await;
    assert!(body.is_err());
    assert_eq!(sim.requests()[0].sent(), 5000);
}

#[tokio::test]
async fn ranges_can_be_ignored_shifted_and_versions_can_change() {
    let (sim, media) = (sim().await, Media::named("silent.mp4"));
    let faults = Faults {
        first: vec![
            Fault { no_ranges: true, ..Fault::default() },
            Fault { range_shift: 3, ..Fault::default() },
            Fault { etag: Some("\"other\"".into()), ..Fault::default() },
        ],
        then: Fault::default(),
    };
    let url = sim.add_faulty_file("a.mp4", media.clone(), faults);
    let ask = || client().get(&url).header("range", "bytes=10-").send();
    assert_eq!(ask().await.unwrap().status(), 200);
    let shifted = ask().await.unwrap();
    assert_eq!(shifted.headers()["content-range"], format!("bytes 13-{}/{}", media.len() - 1, media.len()));
    assert_eq!(ask().await.unwrap().headers()["etag"], "\"other\"");
    assert_eq!(ask().await.unwrap().bytes().await.unwrap(), media.chunk(10..media.len()));
}

#[tokio::test]
async fn a_job_goes_through_the_queue_to_its_result() {
    let sim = sim().await;
    let submit = format!("{}/fal-ai/flux-2/edit", sim.queue_url());
    let reply: Value = client().post(submit).json(&json!({"prompt": "x"})).send().await.unwrap().json().await.unwrap();
    assert_eq!(reply["status"], "IN_QUEUE");
    let url = reply["status_url"].as_str().unwrap().to_owned();
    assert!(url.contains("/fal-ai/flux-2/requests/"), "{url}");
    let early = client().get(reply["response_url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(early.status(), 400);
    let events = client().get(format!("{url}/stream")).send().await.unwrap().text().await.unwrap();
    assert!(events.trim_end().rsplit("data: ").next().unwrap().contains("COMPLETED"), "{events}");
    assert_eq!(client().get(&url).send().await.unwrap().status(), 200);
    for form in ["", "/response"] {
        let result = client().get(format!("{}{form}", reply["response_url"].as_str().unwrap())).send().await.unwrap();
        let result: Value = result.json().await.unwrap();
        assert_eq!(result["images"].as_array().unwrap().len(), 2);
    }
    let cancel = client().put(reply["cancel_url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(cancel.status(), 400);
    let unknown = client().get(format!("{}/fal-ai/veo3/requests/nope/status", sim.queue_url())).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
}

/// A receiver that answers with these statuses, and keeps the bodies.
async fn receiver(
    statuses: &'static [u16],
) -> (String, tokio::sync::mpsc::UnboundedReceiver<(axum::http::HeaderMap, Bytes)>) {
    let (tell, hear) = tokio::sync::mpsc::unbounded_channel();
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let handler = move |headers: axum::http::HeaderMap, body: Bytes| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        tell.send((headers, body)).unwrap();
        let status = statuses.get(number).copied().unwrap_or(200);
        std::future::ready(axum::http::StatusCode::from_u16(status).unwrap())
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/hook", axum::routing::post(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, hear)
}

#[tokio::test]
async fn webhooks_are_signed_and_tried_again_with_the_same_body() {
    let sim = Sim::start(SimOptions { time_factor: 100.0, ..SimOptions::default() }).await.unwrap();
    let (hook, mut hear) = receiver(&[500, 400, 200]).await;
    let submit = format!("{}/fal-ai/veo3?fal_webhook={hook}", sim.queue_url());
    client().post(submit).json(&json!({"prompt": "x"})).send().await.unwrap();
    let (first, second) = (hear.recv().await.unwrap(), hear.recv().await.unwrap());
    assert_eq!(first.1, second.1);
    assert_eq!(first.0["x-fal-webhook-request-id"], second.0["x-fal-webhook-request-id"]);
    assert_eq!(first.0["x-fal-webhook-signature"].len(), 128);
    hear.recv().await.unwrap();
    let body: Value = serde_json::from_slice(&first.1).unwrap();
    assert_eq!((body["status"].as_str(), body["error"].is_null()), (Some("OK"), true));
    assert!(first.1.starts_with(b"{\"error\": null, "));
}

#[tokio::test]
async fn redirects_end_a_webhook_and_faults_change_it() {
    let sim = sim().await;
    let submit = |hook: &str| {
        client().post(format!("{}/fal-ai/veo3?fal_webhook={hook}", sim.queue_url())).json(&json!({})).send()
    };
    let (hook, mut hear) = receiver(&[307]).await;
    submit(&hook).await.unwrap();
    hear.recv().await.unwrap();
    sim.set_webhook_faults(WebhookFaults { payload_null: true, duplicates: 2, ..WebhookFaults::default() });
    let (hook, mut hear) = receiver(&[]).await;
    submit(&hook).await.unwrap();
    for _ in 0..3 {
        let body: Value = serde_json::from_slice(&hear.recv().await.unwrap().1).unwrap();
        assert!(body["payload"].is_null() && body["payload_error"].is_string());
    }
    sim.set_webhook_faults(WebhookFaults { error: Some("no".into()), ..WebhookFaults::default() });
    let (hook, mut hear) = receiver(&[]).await;
    submit(&hook).await.unwrap();
    let body: Value = serde_json::from_slice(&hear.recv().await.unwrap().1).unwrap();
    assert_eq!((body["status"].as_str(), body["error"].as_str()), (Some("ERROR"), Some("no")));
}
