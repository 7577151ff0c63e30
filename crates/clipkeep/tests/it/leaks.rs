//! Invariant 2: no answer, header or log line at info carries a source host.
//! One exception is where an internal link leads to (`audience/` has the whole
//! matrix). The other one is a receipt's `source_host`, the bare name; what a receipt
//! signs is looked at in `receipts.rs` (case 44).

use std::{collections::BTreeSet, time::Duration};

use clipkeep::web;
use clipkeep_core::{link::Audience, state::ClipState};
use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use reqwest::{Method, Response};
use serde_json::Value;

use crate::support::{
    app::TestApp,
    node::{NodeConfig, TOKEN},
};

/// What must not show: the media host, and the path of a file on it.
fn traces(sim: &Sim) -> [String; 2] {
    [sim.media_url().replace("http://", ""), "/files/b/".to_owned()]
}

fn assert_clean(text: &str, sim: &Sim, whence: &str) {
    for trace in traces(sim) {
        assert!(!text.contains(&trace), "{whence} carries {trace}: {text}");
    }
}

/// The body without the one field that may hold it, for admins.
fn without_source_url(body: &str) -> String {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("source_url");
                map.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let Ok(mut value) = serde_json::from_str::<Value>(body) else { return body.to_owned() };
    strip(&mut value);
    value.to_string()
}

/// The body; of a stream, what comes at once.
async fn read(mut response: Response) -> Vec<u8> {
    let is_stream = response.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream");
    let mut body = Vec::new();
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout(patience(is_stream), response.chunk()).await {
        body.extend_from_slice(&chunk);
    }
    assert!(!is_stream || body.len() > 100, "a stream tells what happened before: {body:?}");
    body
}

fn patience(is_stream: bool) -> Duration {
    Duration::from_secs(if is_stream { 1 } else { 60 })
}

async fn look(response: Response, sim: &Sim, whence: &str) {
    let head = format!("{:?}", response.headers());
    assert_clean(&head, sim, &format!("{whence}: headers"));
    let body = String::from_utf8_lossy(&read(response).await).into_owned();
    assert_clean(&without_source_url(&body), sim, whence);
}

/// One clip in each state.
async fn clips_in_every_state(t: &TestApp) -> Vec<&'static str> {
    let add = |fault: Fault| t.sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(fault));
    t.hook("stored", &add(Fault::default()), "").await;
    t.hook("lost", &add(Fault::status(404)), "").await;
    t.hook("rejected", &add(Fault::page("text/html", "<html>gone</html>")), "").await;
    t.hook("waiting", &add(Fault::default()), "?policy=on_demand").await;
    t.hook("filling", &add(Fault { delay_ms: 60_000, ..Fault::default() }), "").await;
    t.hook("looping", &add(Fault::redirect(format!("{}/files/b/loop", t.sim.media_url()))), "").await;
    t.until("stored.mp4", ClipState::Stored).await;
    t.until("lost.mp4", ClipState::Lost).await;
    t.until("rejected.mp4", ClipState::Rejected).await;
    t.until("looping.mp4", ClipState::Lost).await;
    vec!["stored.mp4", "lost.mp4", "rejected.mp4", "waiting.mp4", "filling.mp4", "looping.mp4", "unknown.mp4"]
}

#[tokio::test(flavor = "multi_thread")]
async fn i02_no_answer_of_any_endpoint_carries_a_source() {
    let t = TestApp::with(&[("not_found_attempts", "2".to_owned())]).await;
    let keys = clips_in_every_state(&t).await;
    for key in &keys {
        internal_links_leak_nothing(&t, key).await;
    }
    let document = serde_json::to_value(web::openapi()).unwrap();
    let mut seen = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            seen.insert(path.clone());
            for key in &keys {
                let path = if path == "/api/v1/events" { "/api/v1/events?after=0-0" } else { path };
                let path = path.replace("{key}", key).replace("{request_id}", key.trim_end_matches(".mp4"));
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                for token in [TOKEN, "wrong"] {
                    let request = t.client.request(method.clone(), format!("{}{path}", t.url)).bearer_auth(token);
                    look(request.send().await.unwrap(), &t.sim, &format!("{method} {path}")).await;
                }
            }
        }
    }
    assert!(seen.len() >= 10, "{seen:?}");
    for key in keys {
        let link = t.link(key);
        for url in [link.clone(), link.replace("signature=", "signature=x"), link.replace("expires=", "expires=1")] {
            for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT] {
                look(t.client.request(method, &url).send().await.unwrap(), &t.sim, &url).await;
            }
        }
    }
}

/// An internal link leads to the source, and says so in its `Location` alone.
async fn internal_links_leak_nothing(t: &TestApp, key: &str) {
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let link = t.link_for(Audience::Internal, key);
    for url in [link.clone(), link.replace("signature=", "signature=x"), link.replace("expires=", "expires=1")] {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT] {
            let mut answer = client.request(method, &url).send().await.unwrap();
            answer.headers_mut().remove("location");
            look(answer, &t.sim, &url).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i02_no_log_line_at_info_and_no_printed_row_carries_a_source() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = NodeConfig::new(dir.path()).set("not_found_attempts", "2").set("source_stall_timeout", "1s");
    let mut node = config.start(&sim).await;
    let faults = [
        Fault::default(),
        Fault::status(404),
        Fault::status(503),
        Fault::page("text/html", "<html>gone</html>"),
        Fault::cut_at(1000),
        Fault::stall_at(1000),
        Fault::redirect(format!("{}/files/b/loop", sim.media_url())),
        Fault::redirect("http://169.254.169.254/files/b/secret"),
        Fault { content_encoding: Some("gzip".into()), ..Fault::default() },
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let source = sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(fault));
        assert_eq!(node.hook(&sim, &format!("g{number}"), &source).await, Some(200));
    }
    assert_eq!(node.hook(&sim, "refused", "https://not-allowed.example/files/b/x.mp4").await, Some(200));
    let over = async {
        loop {
            let list = node.api("/api/v1/clips?limit=100").await.unwrap();
            let busy = |clip: &Value| clip["attempts"].as_u64() == Some(0) || clip["state"] == "filling";
            if !list["clips"].as_array().unwrap().iter().any(busy) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(6), over).await;
    assert_eq!(node.terminate().await, Some(0));
    let log = std::fs::read_to_string(&node.log).unwrap();
    assert!(log.contains("stored") && log.contains("rejected"), "{log}");
    assert_clean(&log, &sim, "the log");
    assert!(!log.contains("not-allowed.example") && !log.contains("169.254") && !log.contains(TOKEN), "{log}");
    let mut find = std::process::Command::new(env!("CARGO_BIN_EXE_clipkeep"));
    find.args(["find", "--json", "--limit", "100"]).env_clear().env("CLIPKEEP_DATA", dir.path());
    let printed = find.output().unwrap();
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("g0.mp4"));
    assert_clean(&printed, &sim, "clipkeep find");
    assert!(!printed.contains("not-allowed.example"));
}
