//! Calls to fal that pass through a node, against the simulator.

mod access;
mod big;
mod direct;
mod gateway;
mod queue;
pub(crate) mod tenants;
mod trouble;

use std::sync::Arc;

use clipkeep_core::generation::Generation;
use fal_sim::{Sim, SimOptions};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::support::app::TestApp;

/// The fal key: no app may ever see it.
pub(super) const KEY: &str = "fal-key-id:fal-secret-of-ours";

/// What a node is told that calls the simulator.
pub(super) fn of_fal(sim: &Sim) -> Vec<(&'static str, String)> {
    vec![("fal_key", KEY.to_owned()), ("fal_run_url", sim.run_url()), ("fal_rest_url", sim.rest_url())]
}

pub(super) async fn sim() -> Sim {
    Sim::start(SimOptions { key: Some(KEY.to_owned()), time_factor: 20.0, ..SimOptions::default() }).await.unwrap()
}

/// A node whose key the simulator knows.
pub(super) async fn start(settings: &[(&'static str, &str)]) -> TestApp {
    let sim = sim().await;
    let mut all = of_fal(&sim);
    all.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
    TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &all, &[]).await
}

/// A call through the proxy, with the admin token as fal's clients send one.
pub(super) fn call(t: &TestApp, method: Method, target: &str) -> RequestBuilder {
    let request = t.client.request(method, format!("{}/fal/proxy", t.url));
    request.header("x-fal-target-url", target).header("authorization", format!("Key {}", t.token))
}

/// Submits; answers what fal said.
pub(super) async fn submit(t: &TestApp, endpoint: &str, input: &Value) -> Value {
    let reply = call(t, Method::POST, &format!("https://queue.fal.run/{endpoint}")).json(input).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    reply.json().await.unwrap()
}

/// The generation of this id, as it is right now.
pub(super) async fn generation(t: &TestApp, request_id: &Value) -> Option<Generation> {
    t.app.catalog.generation(&request_id.as_str().unwrap().parse().unwrap()).await.unwrap()
}

/// The text of an answer, in which nothing leads to the media host and nothing
/// tells of the key.
pub(super) async fn clean(t: &TestApp, reply: Response) -> String {
    let head = format!("{:?}", reply.headers());
    let text = reply.text().await.unwrap();
    let host = t.sim.media_url().replace("http://", "");
    for trace in [host.as_str(), "/files/b/", "fal-secret"] {
        assert!(!text.replace("\\/", "/").contains(trace) && !head.contains(trace), "{trace} is in {head} {text}");
    }
    text
}

/// What is at `url`, whole.
pub(super) async fn play(t: &TestApp, url: &Value) -> Vec<u8> {
    let reply = t.client.get(url.as_str().unwrap()).send().await.unwrap();
    assert_eq!(reply.status(), 200, "{url}");
    reply.bytes().await.unwrap().to_vec()
}

/// The bytes that the simulator's file of this name has.
pub(super) fn media(name: &str) -> Vec<u8> {
    let media = fal_sim::Media::named(name);
    media.chunk(0..media.len()).to_vec()
}

/// The code of a problem, which must be one.
pub(super) async fn problem(reply: Response) -> (u16, String) {
    assert_eq!(reply.headers()["content-type"], "application/json");
    let status = reply.status().as_u16();
    let body: Value = reply.json().await.unwrap();
    assert_eq!(body["status"], json!(status));
    (status, body["code"].as_str().unwrap().to_owned())
}
