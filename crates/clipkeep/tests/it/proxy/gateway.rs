//! The gateway: fal's paths at its root.

use std::sync::Arc;

use clipkeep::web;
use clipkeep_core::state::{ClipState, GenerationStatus};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{clean, generation, media, of_fal, play, problem, sim, start};
use crate::support::{
    app::TestApp,
    node::{NodeConfig, TOKEN},
};

struct Gateway {
    url: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn gateway(t: &TestApp) -> Gateway {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let task = tokio::spawn(web::serve_gateway(Arc::clone(&t.app), listener, stop.clone()));
    Gateway { url, stop, task }
}

impl Gateway {
    /// A call as it comes out of a TLS front: to `host`, for `path`.
    fn call(&self, t: &TestApp, method: Method, host: &str, path: &str) -> RequestBuilder {
        let request = t.client.request(method, format!("{}{path}", self.url));
        request.header("host", host).header("authorization", format!("Key {}", t.token))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queues_urls_lead_back_to_the_gateway_and_the_result_to_us() {
    let t = start(&[]).await;
    let gate = gateway(&t).await;
    let host = "queue.fal.example.com:8443";
    let request = gate.call(&t, Method::POST, host, "/fal-ai/veo3/fast?fal_max_queue_length=3");
    let reply = request.json(&json!({"prompt": "a gate"})).send().await.unwrap();
    let reply: Value = serde_json::from_str(&clean(&t, reply).await).unwrap();
    let id = reply["request_id"].as_str().unwrap();
    assert_eq!(generation(&t, &reply["request_id"]).await.unwrap().facts.prompt.as_deref(), Some("a gate"));
    let own = format!("https://{host}");
    for (name, path) in [("response_url", ""), ("status_url", "/status"), ("cancel_url", "/cancel")] {
        assert_eq!(reply[name], json!(format!("{own}/fal-ai/veo3/requests/{id}{path}")));
    }
    t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    let path = |name: &str| reply[name].as_str().unwrap().strip_prefix(&own).unwrap().to_owned();
    let status =
        gate.call(&t, Method::GET, host, &path("status_url")).header("x-forwarded-proto", "http").send().await.unwrap();
    let status: Value = status.json().await.unwrap();
    assert_eq!(status["response_url"], json!(format!("http://{host}/fal-ai/veo3/requests/{id}")));
    let stream = gate.call(&t, Method::GET, host, &format!("{}/stream", path("status_url"))).send().await.unwrap();
    let stream = stream.text().await.unwrap();
    assert!(stream.contains(&own) && !stream.contains(&t.sim.queue_url()), "{stream}");
    let result = gate.call(&t, Method::GET, host, &path("response_url")).send().await.unwrap();
    let result: Value = serde_json::from_str(&clean(&t, result).await).unwrap();
    assert_eq!(play(&t, &result["video"]["url"]).await.len(), media("moov-last.mp4").len());
    gate.stop.cancel();
    gate.task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_host_takes_direct_calls() {
    let t = start(&[]).await;
    let gate = gateway(&t).await;
    let request = gate.call(&t, Method::POST, "fal.example.com", "/fal-ai/sora-2").json(&json!({"prompt": "direct"}));
    let reply = request.send().await.unwrap();
    let id = json!(reply.headers()["x-fal-request-id"].to_str().unwrap());
    let result: Value = serde_json::from_str(&clean(&t, reply).await).unwrap();
    assert_eq!(generation(&t, &id).await.unwrap().status, GenerationStatus::Completed);
    assert_eq!(play(&t, &result["video"]["url"]).await, media("moov-first.mp4"));
    let forwarded = gate.call(&t, Method::POST, "10.0.0.1:8788", "/fal-ai/veo3").header("x-forwarded-host", "queue.a");
    let reply: Value = forwarded.json(&json!({"prompt": "x"})).send().await.unwrap().json().await.unwrap();
    assert!(reply["status_url"].as_str().unwrap().starts_with("https://queue.a/"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_takes_fals_calls_of_those_who_may_and_nothing_else() {
    let t = start(&[]).await;
    let gate = gateway(&t).await;
    let anybody = t.client.post(format!("{}/fal-ai/veo3", gate.url)).json(&json!({}));
    assert_eq!(problem(anybody.send().await.unwrap()).await, (401, "unauthorized".to_owned()));
    for (method, path, status) in [
        (Method::GET, "/", 400),
        (Method::GET, "/metrics", 400),
        (Method::GET, "/api/v1/clips", 405),
        (Method::POST, "/fal-ai/a%2Fb", 400),
        (Method::POST, "/fal-ai", 400),
        (Method::PUT, "/fal-ai/veo3", 405),
    ] {
        let reply = gate.call(&t, method.clone(), "fal.example.com", path).json(&json!({})).send().await.unwrap();
        assert_eq!(problem(reply).await.0, status, "{method} {path}");
    }
    let odd = gate.call(&t, Method::POST, "a@b", "/fal-ai/veo3").json(&json!({})).send().await.unwrap();
    assert_eq!(problem(odd).await.0, 400);
    assert!(t.sim.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_opens_its_gateway_and_closes_it_in_peace() {
    let (sim, dir) = (sim().await, tempfile::tempdir().unwrap());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config =
        of_fal(&sim).into_iter().fold(NodeConfig::new(dir.path()), |config, (key, value)| config.set(key, value));
    let mut node = config.set("fal_gateway_listen", format!("127.0.0.1:{port}")).start(&sim).await;
    let url = format!("http://127.0.0.1:{port}/fal-ai/veo3");
    let call = || node.client.post(&url).header("host", "queue.a").bearer_auth(TOKEN).json(&json!({"prompt": "x"}));
    let reply: Value = call().send().await.unwrap().json().await.unwrap();
    assert!(reply["response_url"].as_str().unwrap().starts_with("https://queue.a/"), "{reply}");
    // One that is still running when the node stops ends as it should.
    sim.set_outages(vec![fal_sim::Outage::stall(1_000).times(1)]);
    let asked = sim.calls().len();
    let slow = tokio::spawn(call().send());
    while sim.calls().len() == asked {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(node.terminate().await, Some(0));
    let reply: Value = slow.await.unwrap().unwrap().json().await.unwrap();
    assert!(reply["request_id"].is_string(), "{reply}");
}
