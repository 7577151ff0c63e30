//! Submitting to fal by our API.

use std::{sync::Arc, time::Duration};

use clipkeep_core::{
    prompt::prompt_hash,
    state::{ClipState, GenerationStatus},
    token::{TOKEN_BYTES, TokenInfo, token_hash, token_text},
};
use fal_sim::{Media, Sim, SimOptions, WebhookFaults};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{eventually, until};
use crate::support::app::TestApp;

const MODEL: &str = "fal-ai/kling-video/v2.5-turbo/pro/text-to-video";

async fn node(sim: SimOptions, more: &[(&'static str, String)]) -> TestApp {
    let sim = Sim::start(SimOptions { key: Some("right".into()), ..sim }).await.unwrap();
    let own = [("fal_key", "right".to_owned()), ("sweep_interval", "1d".to_owned())];
    TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &[&own[..], more].concat(), &[]).await
}

fn wanted() -> Value {
    json!({"submit": true, "model": MODEL, "input": {"prompt": "a fox", "seed": 7}, "tenant": "acme", "public": true,
        "fal": {"priority": "low", "start_timeout": 30}})
}

/// The answer to a submit.
struct Said {
    code: u16,
    body: Value,
    retry_after: Option<String>,
}

impl Said {
    fn id(&self) -> &str {
        assert_eq!(self.code, 201, "{}", self.body);
        self.body["request_id"].as_str().unwrap()
    }
}

async fn submit(t: &TestApp, body: &Value, key: Option<&str>) -> Said {
    submit_as(t, &t.token, body, key).await
}

async fn submit_as(t: &TestApp, token: &str, body: &Value, key: Option<&str>) -> Said {
    let mut request = t.client.post(format!("{}/api/v1/generations", t.url)).bearer_auth(token).json(body);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let answer = request.send().await.unwrap();
    let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    Said { code: answer.status().as_u16(), retry_after, body: answer.json().await.unwrap() }
}

/// How many generations there are.
async fn count(t: &TestApp) -> i64 {
    let db = rusqlite::Connection::open(t.data.path().join("clipkeep.db")).unwrap();
    db.busy_timeout(super::LONG).unwrap();
    db.query_row("SELECT count(*) FROM generations", (), |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_answers_where_its_clip_will_be_and_there_it_is() {
    let t = node(SimOptions::default(), &[]).await;
    let said = submit(&t, &wanted(), None).await;
    let id = said.id();
    assert_eq!((&said.body["status"], &said.body["clips"]), (&json!("pending"), &json!([])));
    let final_url = format!("{}/v/{id}.mp4", t.url);
    assert_eq!((&said.body["final_url"], &said.body["final_urls"]), (&json!(final_url), &json!([final_url])));
    let clip = t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    let facts = &clip.facts;
    assert_eq!(
        (facts.model.as_deref(), facts.prompt.as_deref(), facts.seed),
        (Some(MODEL), Some("a fox"), Some(7_i64.into()))
    );
    assert_eq!((facts.prompt_hash.clone(), facts.public), (Some(prompt_hash("a fox")), Some(true)));
    assert_eq!(facts.tenant.as_ref().unwrap().as_str(), "acme");
    assert_eq!(facts.input, Some(json!({"prompt": "a fox", "seed": 7}).into()));
    let played = t.client.get(final_url).send().await.unwrap();
    assert_eq!(played.status(), 200);
    assert_eq!(played.bytes().await.unwrap().len() as u64, Media::named("moov-first.mp4").len());
    assert_eq!((t.sim.sent().len(), t.sim.status_requests(id)), (1, 0), "by its webhook");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_whose_webhook_is_lost_is_found() {
    let quick = [("poll_after", "0s".to_owned()), ("sweep_interval", "20ms".to_owned())];
    let t = node(SimOptions::default(), &quick).await;
    t.sim.set_webhook_faults(WebhookFaults { drop: true, ..WebhookFaults::default() });
    let said = submit(&t, &wanted(), None).await;
    let clip = t.until(&format!("{}.mp4", said.id()), ClipState::Stored).await;
    assert_eq!(clip.facts.tenant.unwrap().as_str(), "acme");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_30_a_webhook_that_comes_before_the_submit_is_answered_loses_nothing() {
    let t = node(SimOptions::default(), &[]).await;
    t.sim.set_webhook_faults(WebhookFaults { early: true, ..WebhookFaults::default() });
    let said = submit(&t, &wanted(), Some("k")).await;
    let clip = t.until(&format!("{}.mp4", said.id()), ClipState::Stored).await;
    assert_eq!(clip.facts.prompt.as_deref(), Some("a fox"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_final_urls_are_as_many_as_the_input_tells() {
    let t = node(SimOptions::default(), &[]).await;
    let input = json!({"prompt": "a fox", "num_images": 2, "output_format": "jpeg"});
    let said = submit(&t, &json!({"submit": true, "model": "fal-ai/flux/dev", "input": input}), None).await;
    let id = said.id();
    let expected = [format!("{}/v/{id}.jpg", t.url), format!("{}/v/{id}.1.jpg", t.url)];
    assert_eq!((&said.body["final_urls"], &said.body["final_url"]), (&json!(expected), &json!(expected[0])));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_submit_however_often_and_wherever_it_is_called() {
    let t = node(SimOptions::default(), &[("poll_after", "0s".to_owned())]).await;
    let body = wanted();
    let said = join_all((0..10).map(|_| submit(&t, &body, Some("order-7")))).await;
    let first = said.iter().find(|said| said.code == 201).unwrap().id().to_owned();
    for said in &said {
        match said.code {
            201 => assert_eq!(said.id(), first),
            409 => assert_eq!(said.retry_after.as_deref(), Some("5"), "{}", said.body),
            code => panic!("{code} {}", said.body),
        }
    }
    // In another spelling, and after a restart, it is the same request.
    let (sim, data) = t.stop().await;
    // Its webhook may have found nobody at home.
    let quick = [("fal_key", "right".to_owned()), ("sweep_interval", "20ms".to_owned())];
    let t = TestApp::on(sim, data, &quick, &[]).await;
    let text = r#"{"input": {"seed": 7,  "prompt": "a fox"}, "public": true, "tenant": "acme", "submit": true,
        "fal": {"start_timeout": 30, "priority": "low"}, "model": "MODEL"}"#;
    let again = submit(&t, &serde_json::from_str(&text.replace("MODEL", MODEL)).unwrap(), Some("order-7")).await;
    assert_eq!(again.id(), first);
    t.until(&format!("{first}.mp4"), ClipState::Stored).await;
    let paid = t.sim.calls().iter().filter(|call| call.method == "POST").count();
    assert_eq!((count(&t).await, paid), (1, 1));
    let mut other = wanted();
    other["input"]["seed"] = json!(8);
    let refused = submit(&t, &other, Some("order-7")).await;
    assert_eq!((refused.code, &refused.body["code"]), (409, &json!("conflict")), "{}", refused.body);
    assert_ne!(submit(&t, &wanted(), Some("order-8")).await.id(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fal_refuses_is_said_in_its_words_and_leaves_nothing() {
    let t = node(SimOptions::default(), &[("fal_key", "wrong".to_owned())]).await;
    for _ in 0..2 {
        let said = submit(&t, &wanted(), Some("k")).await;
        assert_eq!((said.code, &said.body["code"]), (422, &json!("provider_rejected")));
        let detail = said.body["detail"].as_str().unwrap();
        assert!(detail.contains("HTTP 401") && detail.contains("Authentication is required"), "{detail}");
    }
    assert_eq!(count(&t).await, 0);
    // The key was not used up.
    let (sim, data) = t.stop().await;
    let t = TestApp::on(sim, data, &[("fal_key", "right".to_owned())], &[]).await;
    submit(&t, &wanted(), Some("k")).await.id();

    let t = node(SimOptions::default(), &[("fal_key", String::new())]).await;
    let said = submit(&t, &wanted(), None).await;
    assert!(said.code == 503 && said.body["detail"].as_str().unwrap().contains("`fal_key`"), "{}", said.body);
    let t = node(SimOptions::default(), &[("fal_queue_url", "http://127.0.0.1:9".to_owned())]).await;
    let said = submit(&t, &wanted(), None).await;
    assert_eq!((said.code, said.body["detail"].as_str()), (502, Some("fal cannot be connected to")));
}

/// An answer of this status with a `detail`.
fn answer(status: &str, headers: &str, detail: &str) -> String {
    let body = json!({"detail": detail}).to_string();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Answers every request with these bytes.
async fn answering(bytes: impl Into<String>) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, bytes) = (format!("http://{}", listener.local_addr().unwrap()), bytes.into());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(bytes.as_bytes()).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_failure_keeps_its_class() {
    for (bytes, code, word) in [
        (answer("429 Slow", "Retry-After: 7\r\n", "slow down"), 429, "slow down"),
        (answer("500 No", "", "oops"), 502, "oops"),
        (answer("403 No", "", "see https://fal.ai/bill"), 422, "see [url]"),
        ("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_owned(), 422, "did not say why"),
    ] {
        let t = node(SimOptions::default(), &[("fal_queue_url", answering(bytes).await)]).await;
        let said = submit(&t, &wanted(), Some("k")).await;
        assert!(said.body["detail"].as_str().unwrap().contains(word), "{}", said.body);
        assert_eq!((said.code, said.retry_after.as_deref()), (code, (code == 429).then_some("7")));
        let again = submit(&t, &wanted(), Some("k")).await;
        assert_eq!((again.code, count(&t).await), (code, 0), "its key is free again");
    }
}

/// Whether fal took it is not known: it is not submitted again by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_submit_that_broke_off_is_never_paid_for_twice() {
    let broken = [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"request_id\": \"h",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 502 Bad\r\nContent-Length: 6\r\n\r\n<html>",
    ];
    for bytes in broken {
        let t = node(SimOptions::default(), &[("fal_queue_url", answering(bytes).await)]).await;
        let said = submit(&t, &wanted(), Some("k")).await;
        assert_eq!((said.code, &said.body["code"]), (502, &json!("provider_unreachable")), "{bytes}");
        assert!(said.body["detail"].as_str().unwrap().contains("its webhook brings"), "{}", said.body);
        assert_eq!(submit(&t, &wanted(), Some("k")).await.code, 409);
        // As after a kill.
        let db = rusqlite::Connection::open(t.data.path().join("clipkeep.db")).unwrap();
        db.busy_timeout(super::LONG).unwrap();
        db.execute("UPDATE submissions SET begun_at = begun_at - 60000", ()).unwrap();
        let said = submit(&t, &wanted(), Some("k")).await;
        assert!(said.code == 409 && said.body["detail"].as_str().unwrap().contains("not known"), "{}", said.body);
        // fal had it, and its webhook comes.
        let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
        assert_eq!(t.hook("had-it", &source, "?tenant=acme").await.status(), 200);
        until(&t, "had-it", GenerationStatus::Completed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_leaves_a_registered_generation() {
    let slow = SimOptions { queue_time: Duration::from_millis(300), ..SimOptions::default() };
    let t = node(slow, &[]).await;
    // The simulator answers only once the webhook is on its way.
    t.sim.set_webhook_faults(WebhookFaults { early: true, drop: true, ..WebhookFaults::default() });
    let body = wanted();
    let call = submit(&t, &body, Some("k"));
    assert!(tokio::time::timeout(Duration::from_millis(150), call).await.is_err(), "it runs still");
    eventually("it is registered all the same", async || count(&t).await == 1).await;
    submit(&t, &wanted(), Some("k")).await.id();
    assert_eq!(count(&t).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_submitted_is_named() {
    let t = node(SimOptions::default(), &[]).await;
    for (name, value) in [
        ("model", json!(null)),
        ("model", json!("veo3")),
        ("model", json!("fal-ai/../admin")),
        ("input", json!(null)),
        ("input", json!("a fox")),
        ("request_id", json!("mine")),
        ("adopt", json!(true)),
        ("provider", json!("replicate")),
        ("tenant", json!("a b")),
        ("fal", json!({"start_timeout": 1})),
    ] {
        let mut body = wanted();
        body[name] = value.clone();
        let said = submit(&t, &body, None).await;
        assert!(said.code == 400 && said.body["detail"].as_str().unwrap().contains(name), "{value} {}", said.body);
    }
    let mut body = wanted();
    body["fal"] = json!({"priority": "high"});
    let said = submit(&t, &body, None).await;
    assert!(said.code == 400 && said.body["detail"].as_str().unwrap().contains("`high`"), "{}", said.body);
    for key in ["", "a b", &"k".repeat(256)] {
        assert_eq!(submit(&t, &wanted(), Some(key)).await.code, 400, "{key:?}");
    }
    let registered = submit(&t, &json!({"model": MODEL}), None).await;
    assert!(registered.code == 400 && registered.body["detail"].as_str().unwrap().contains("request_id"));
    let registered = submit(&t, &json!({"request_id": "x", "fal": {}}), None).await;
    assert_eq!(registered.code, 400);
    let anonymous = t.client.post(format!("{}/api/v1/generations", t.url)).json(&wanted()).send().await.unwrap();
    assert_eq!((anonymous.status().as_u16(), count(&t).await), (401, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_submit_is_its_own_and_so_are_its_keys() {
    let t = node(SimOptions::default(), &[]).await;
    let mut tokens = Vec::new();
    for (byte, tenant) in [(1, "acme"), (2, "other")] {
        let token = token_text(&[byte; TOKEN_BYTES]);
        let (name, tenant) = (tenant.to_owned(), tenant.parse().ok());
        let info = TokenInfo {
            id: name.clone(),
            name,
            tenant,
            created_at: t.app.clock.now(),
            last_used_at: None,
            revoked_at: None,
        };
        t.app.catalog.create_token(&info, &token_hash(&token)).await.unwrap();
        tokens.push(token);
    }
    let mut body = wanted();
    body["tenant"] = json!("acme");
    let other = submit_as(&t, &tokens[1], &body, Some("k")).await;
    assert_eq!(other.body["tenant"], "other", "whatever it says");
    let acme = submit_as(&t, &tokens[0], &body, Some("k")).await;
    let admin = submit(&t, &body, Some("k")).await;
    let ids = [other.id(), acme.id(), admin.id()];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    let clip = t.until(&format!("{}.mp4", ids[0]), ClipState::Stored).await;
    assert_eq!(clip.facts.tenant.unwrap().as_str(), "other");
    // Its clips are shown without their sources.
    let again = submit_as(&t, &tokens[1], &body, Some("k")).await;
    assert_eq!((again.id(), again.body["clips"].as_array().unwrap().len()), (ids[0], 1));
    assert!(again.body["clips"][0].get("source_url").is_none(), "{}", again.body);
}

/// fal would be paid for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_not_submitted() {
    let t = node(SimOptions::default(), &[]).await;
    let another = node(SimOptions::default(), &[]).await;
    let marker = |t: &TestApp| t.data.path().join("clips/.clipkeep/catalog");
    let [own, theirs] = [&t, &another].map(|t| std::fs::read(marker(t)).unwrap());
    let ready = async |code: u16| {
        eventually("the node knows", async || {
            t.client.get(format!("{}/readyz", t.url)).send().await.unwrap().status() == code
        })
        .await;
    };
    std::fs::write(marker(&t), theirs).unwrap();
    ready(503).await;
    // With a key or without; it may be used again afterwards.
    for key in [None, Some("k1")] {
        let said = submit(&t, &wanted(), key).await;
        let detail = said.body["detail"].as_str().unwrap();
        assert!(said.code == 503 && detail.starts_with("nothing was submitted: "), "{} {detail}", said.code);
        assert!(said.retry_after.is_some());
    }
    assert_eq!(count(&t).await, 0);
    std::fs::write(marker(&t), own).unwrap();
    ready(200).await;
    let said = submit(&t, &wanted(), Some("k1")).await;
    t.until(&format!("{}.mp4", said.id()), ClipState::Stored).await;
    assert_eq!((count(&t).await, t.sim.sent().len()), (1, 1));
}
