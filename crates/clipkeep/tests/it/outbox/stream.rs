//! `GET /api/v1/events`.

use std::time::Duration;

use clipkeep_core::state::ClipState;
use fal_sim::{Media, Sim, SimOptions};
use reqwest::Response;
use serde_json::Value;

use crate::support::{
    app::TestApp,
    node::{NodeConfig, TOKEN},
};

/// An open stream.
struct Stream {
    response: Response,
    text: String,
    /// The id that was seen last.
    last: String,
}

/// One event as a client sees it.
#[derive(Debug)]
struct Seen {
    id: String,
    kind: String,
    data: Value,
}

impl Stream {
    async fn open(t: &TestApp, last: Option<&str>) -> Self {
        Self::open_as(t, &t.token, last).await
    }

    async fn open_as(t: &TestApp, token: &str, last: Option<&str>) -> Self {
        let mut request = t.client.get(format!("{}/api/v1/events", t.url)).bearer_auth(token);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Self { response, text: String::new(), last: String::new() };
        // The id from which it starts.
        stream.block().await.unwrap();
        assert!(!stream.last.is_empty());
        stream
    }

    /// The next block with its fields; none at the end of the stream.
    async fn block(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                let (id, kind, data) = (field("id: "), field("event: "), field("data: "));
                let found = (kind.to_owned(), data.to_owned());
                if !id.is_empty() {
                    self.last = id.to_owned();
                }
                self.text = rest.to_owned();
                return Some(found);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(30), self.response.chunk()).await;
            let chunk = chunk.expect("the stream is silent").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn next(&mut self) -> Seen {
        let began = tokio::time::Instant::now();
        loop {
            let (kind, data) = self.block().await.expect("the stream ended");
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "no event comes after {}", self.last);
            if !kind.is_empty() {
                return Seen { id: self.last.clone(), kind, data: serde_json::from_str(&data).unwrap() };
            }
        }
    }

    async fn key(&mut self) -> String {
        let seen = self.next().await;
        assert_eq!((seen.kind.as_str(), &seen.data["type"]), ("clip.stored", &Value::from("clip.stored")));
        assert_eq!(seen.data["data"]["state"], "stored");
        assert!(!seen.id.is_empty());
        seen.data["data"]["key"].as_str().unwrap().to_owned()
    }
}

async fn store(t: &TestApp, id: &str) {
    let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    t.hook(id, &source, "").await;
    t.until(&format!("{id}.mp4"), ClipState::Stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_goes_on_without_a_gap_or_a_repetition() {
    let t = TestApp::start().await;
    store(&t, "before").await;
    let mut stream = Stream::open(&t, None).await;
    let start = stream.last.clone();
    store(&t, "a").await;
    assert_eq!(stream.key().await, "a.mp4", "it starts now");
    let (last, other) = (stream.last.clone(), Stream::open(&t, None).await);
    drop((stream, other));
    for id in ["b", "c"] {
        store(&t, id).await;
    }
    let mut again = Stream::open(&t, Some(&last)).await;
    assert_eq!([again.key().await, again.key().await], ["b.mp4", "c.mp4"]);
    store(&t, "d").await;
    assert_eq!(again.key().await, "d.mp4");
    // Who broke off before the first event has an id to go on from, too.
    let mut early = Stream::open(&t, Some(&start)).await;
    for expected in ["a.mp4", "b.mp4", "c.mp4", "d.mp4"] {
        assert_eq!(early.key().await, expected);
    }
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_listen_or_asks_for_nonsense_is_told_so_and_streams_are_bounded() {
    let t = TestApp::start().await;
    let url = format!("{}/api/v1/events", t.url);
    let get = |url: String| t.client.get(url);
    assert_eq!(get(url.clone()).send().await.unwrap().status(), 401);
    let auth = |url: String| get(url).bearer_auth(&t.token);
    assert_eq!(auth(format!("{url}?after=x")).send().await.unwrap().status(), 400);
    assert_eq!(auth(url.clone()).header("last-event-id", "1").send().await.unwrap().status(), 400);
    // A position that no database of ours gave would be silent for ever.
    for request in [auth(url.clone()).header("last-event-id", "0-1"), auth(format!("{url}?after=4711-42"))] {
        let refused = request.send().await.unwrap();
        assert_eq!(refused.status(), 409);
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["code"], "conflict");
        assert!(problem["detail"].as_str().unwrap().contains("was never given"), "{problem}");
    }
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(auth(format!("{url}?after=0-0")).send().await.unwrap());
    }
    let refused = auth(url.clone()).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"5".parse().unwrap()));
    drop(open);
    let began = tokio::time::Instant::now();
    while auth(url.clone()).send().await.unwrap().status() != 200 {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "a place that was left stays taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_hold_up_a_node_that_stops() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut node = NodeConfig::new(dir.path()).set("shutdown_grace", "60s").start(&sim).await;
    let request = node.client.get(format!("{}/api/v1/events", node.url)).bearer_auth(TOKEN);
    let mut stream = request.send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    assert_eq!(node.terminate().await, Some(0));
    assert_eq!(stream.chunk().await.unwrap(), None, "it ends like any other answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn h43_ids_of_a_tenants_stream_count_nobody_elses_events() {
    let t = TestApp::start().await;
    let token = async |name: &str| {
        let body = serde_json::json!({"name": name, "tenant": name});
        let made = t.client.post(format!("{}/api/v1/tokens", t.url)).bearer_auth(&t.token).json(&body);
        made.send().await.unwrap().json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned()
    };
    let (one, other) = (token("one").await, token("other").await);
    let open = async |token: &str, last: Option<&str>| Stream::open_as(&t, token, last).await;
    let store = async |id: &str, tenant: &str| {
        let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
        t.hook(id, &source, &format!("?tenant={tenant}")).await;
        t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    };
    let mut stream = open(&one, None).await;
    let mut starts = vec![stream.last.clone(), open(&one, None).await.last.clone()];
    store("a", "one").await;
    assert_eq!(stream.key().await, "a.mp4");
    let after_a = stream.last.clone();
    store("x", "other").await;
    starts.push(open(&one, None).await.last.clone());
    store("b", "one").await;
    assert_eq!(stream.key().await, "b.mp4");
    let after_b = stream.last.clone();
    // No id says which place it is, and two streams that begin at one place have two.
    starts.extend([after_a.clone(), after_b.clone()]);
    assert!(starts.iter().all(|id| id.len() == 54 && !id.contains("0-")), "{starts:?}");
    starts.sort();
    starts.dedup();
    assert_eq!(starts.len(), 5);
    // Each goes on where it was; an event's id is the same each time.
    let mut again = open(&one, Some(&after_a)).await;
    assert_eq!((again.key().await, &again.last), ("b.mp4".to_owned(), &after_b));
    let url = format!("{}/api/v1/events", t.url);
    for (token, id, status) in [
        (&one, after_b.as_str(), 200),
        (&other, after_b.as_str(), 409),
        // Places tell how many events there are: they are for admins.
        (&one, "0-1", 409),
        (&one, "0-99999", 409),
        (&one, "x", 400),
        (&t.token, after_b.as_str(), 400),
        (&t.token, "0-0", 200),
    ] {
        let answer = t.client.get(format!("{url}?after={id}")).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), status, "{id}");
    }
    t.stop().await;
}
