//! The sweep: lost webhooks, clips at risk, and the command.

use std::{sync::Arc, time::Duration};

use clipkeep_core::{
    event::{EventType, Position},
    generation::Generation,
    state::{ClipState, GenerationStatus},
};
use fal_sim::{Media, Sim, SimOptions, WebhookFaults};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    cli::clipkeep,
    support::{app::TestApp, postgres},
};

const MODEL: &str = "fal-ai/kling-video/v2.5-turbo/pro/image-to-video";
const LONG: Duration = Duration::from_secs(60);

fn quick() -> Vec<(&'static str, String)> {
    vec![("sweep_interval", "20ms".to_owned()), ("poll_after", "50ms".to_owned())]
}

async fn node(sim: SimOptions, more: &[(&'static str, String)]) -> TestApp {
    let sim = Sim::start(sim).await.unwrap();
    TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &[&quick()[..], more].concat(), &[]).await
}

/// Submits as an app would; with our hook if `hook`.
async fn submit(t: &TestApp, hook: bool) -> String {
    let mut url = url::Url::parse(&format!("{}/{MODEL}", t.sim.queue_url())).unwrap();
    if hook {
        url.query_pairs_mut().append_pair("fal_webhook", &format!("{}/hooks/fal?model={MODEL}", t.url));
    }
    let mut request = t.client.post(url).json(&json!({"prompt": "a fox"}));
    if let Some(key) = &t.app.config.fal_key {
        request = request.header("authorization", format!("Key {}", key.expose()));
    }
    let reply: Value = request.send().await.unwrap().json().await.unwrap();
    reply["request_id"].as_str().unwrap().to_owned()
}

async fn register(t: &TestApp, request_id: &str) {
    t.register(&json!({"request_id": request_id, "model": MODEL, "prompt": "a fox", "tenant": "acme"})).await;
}

async fn until(t: &TestApp, request_id: &str, status: GenerationStatus) -> Generation {
    let began = Instant::now();
    loop {
        let generation = t.app.catalog.generation(&request_id.parse().unwrap()).await.unwrap();
        if let Some(generation) = generation.clone().filter(|generation| generation.status == status) {
            return generation;
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "not {status}: {generation:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn events(t: &TestApp, kind: EventType) -> Vec<Option<String>> {
    let all = t.app.catalog.events(Position { tx: i64::MIN, id: i64::MIN }, 1000).await.unwrap();
    all.into_iter().filter(|(_, event)| event.kind == kind).map(|(_, event)| event.detail).collect()
}

/// The result as the queue gives it.
async fn result(t: &TestApp, request_id: &str) -> Value {
    let url = format!("{}/fal-ai/kling-video/requests/{request_id}", t.sim.queue_url());
    let began = Instant::now();
    loop {
        let answer = t.client.get(&url).send().await.unwrap();
        if answer.status() == 200 {
            return answer.json().await.unwrap();
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_whose_webhook_was_lost_is_stored_and_its_late_webhook_is_a_duplicate() {
    let t = node(SimOptions::default(), &[]).await;
    t.sim.set_webhook_faults(WebhookFaults { drop: true, ..WebhookFaults::default() });
    let id = submit(&t, true).await;
    register(&t, &id).await;
    let clip = t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    assert_eq!(clip.facts.tenant.as_ref().unwrap().as_str(), "acme");
    assert_eq!(clip.sealed.unwrap().sha256, Media::named("moov-first.mp4").sha256());
    assert!(t.sim.sent().is_empty());
    let history = t.app.catalog.history(&clip.key).await.unwrap();
    let heard = history.iter().find(|line| line.event == "received").unwrap().detail.clone().unwrap();
    assert!(heard.ends_with("; asked for at the provider, as no webhook came"), "{heard}");
    // It comes after all.
    let late = t.hook_payload(&id, &result(&t, &id).await, "").await;
    assert_eq!(late.json::<Value>().await.unwrap()["status"], "duplicate");
    let asked = t.sim.status_requests(&id);
    t.app.sweep.round().await;
    assert_eq!(t.sim.status_requests(&id), asked, "it is over");
    assert_eq!(events(&t, EventType::ClipStored).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_32_a_result_that_its_webhook_lacked_is_fetched_again() {
    let t = node(SimOptions::default(), &[("poll_after", "1d".to_owned())]).await;
    t.sim.set_webhook_faults(WebhookFaults { payload_null: true, ..WebhookFaults::default() });
    let id = submit(&t, true).await;
    t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    assert_eq!(until(&t, &id, GenerationStatus::Completed).await.error.as_deref(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn i02_a_failed_generation_is_failed_with_the_providers_reason() {
    let t = node(SimOptions::default(), &[]).await;
    let words = "no such thing at https://v3.fal.media/x.png";
    t.sim.set_webhook_faults(WebhookFaults { drop: true, error: Some(words.into()), ..WebhookFaults::default() });
    let id = submit(&t, true).await;
    register(&t, &id).await;
    let failed = until(&t, &id, GenerationStatus::Failed).await;
    let expected = "Invalid status code: 422: no such thing at [url] (content_policy_violation)";
    assert_eq!(failed.error.as_deref(), Some(expected));
    assert_eq!(events(&t, EventType::GenerationFailed).await, [Some(expected.to_owned())]);
    assert!(t.app.catalog.clip(&format!("{id}.mp4").parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_does_not_know_is_given_up_only_when_it_is_old() {
    let quick =
        [("retry_base", "1ms".to_owned()), ("retry_max", "5ms".to_owned()), ("not_found_attempts", "2".to_owned())];
    let t = node(SimOptions::default(), &quick).await;
    let id = "registered-before-its-submit";
    register(&t, id).await;
    let began = Instant::now();
    let misses = "SELECT poll_misses FROM generations";
    let db = rusqlite::Connection::open(t.data.path().join("clipkeep.db")).unwrap();
    db.busy_timeout(LONG).unwrap();
    while db.query_row(misses, (), |row| row.get::<_, i64>(0)).unwrap() < 8 {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    until(&t, id, GenerationStatus::Pending).await;
    assert!(events(&t, EventType::GenerationFailed).await.is_empty());
    db.execute("UPDATE generations SET created_at = created_at - 600000", ()).unwrap();
    let why = until(&t, id, GenerationStatus::Failed).await.error.unwrap();
    assert!(why.contains("does not know it"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_forgot_or_never_ends_is_given_up() {
    let soon = [("poll_timeout", "1s".to_owned())];
    let t = node(SimOptions { result_ttl: Duration::ZERO, ..SimOptions::default() }, &soon).await;
    let expired = submit(&t, false).await;
    for id in [&expired, "never-heard-of"] {
        register(&t, id).await;
        let why = until(&t, id, GenerationStatus::Failed).await.error.unwrap();
        assert!(why.contains("asked for") && why.contains("does not know it"), "{why}");
    }
    assert_eq!(events(&t, EventType::GenerationFailed).await.len(), 2);

    let endless = SimOptions { run_time: Duration::from_secs(3600), ..SimOptions::default() };
    let t = node(endless, &[("poll_timeout", "1s".to_owned())]).await;
    let id = submit(&t, false).await;
    register(&t, &id).await;
    let why = until(&t, &id, GenerationStatus::Failed).await.error.unwrap();
    assert!(why.contains("it has not ended there"), "{why}");
    assert!(t.sim.status_requests(&id) > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_said_and_loses_nothing() {
    let key = |key: &str| ("fal_key", key.to_owned());
    let sim = SimOptions { key: Some("right".into()), ..SimOptions::default() };
    let t = node(sim, &[key("right"), ("poll_after", "1d".to_owned())]).await;
    let id = submit(&t, false).await;
    let (sim, data) = t.stop().await;
    let t = TestApp::on(sim, data, &[&quick()[..], &[key("wrong"), ("sweep_interval", "1d".to_owned())]].concat(), &[])
        .await;
    register(&t, &id).await;
    let began = Instant::now();
    let polls = loop {
        let polls = t.app.sweep.round().await.polls;
        if polls.asked > 0 {
            break polls;
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((polls.asked, polls.later), (1, 1));
    // However old it is: whoever mends the key finds it again.
    shift(&t, -WEEK);
    let polls = t.app.sweep.round().await.polls;
    assert_eq!((polls.asked, polls.given_up), (1, 0));
    until(&t, &id, GenerationStatus::Pending).await;
    shift(&t, WEEK);
    let hold = t.app.clock.now().plus(LONG);
    let poll = t.app.catalog.claim_polls(hold, hold, 1).await.unwrap().remove(0);
    assert!(poll.error.unwrap().contains("hint: is `fal_key` right"));
    t.app.catalog.poll_later(&poll_of(&t, hold).await, t.app.clock.now(), None, None).await.unwrap();
    let (sim, data) = t.stop().await;
    let t = TestApp::on(sim, data, &[&quick()[..], &[key("right")]].concat(), &[]).await;
    t.until(&format!("{id}.mp4"), ClipState::Stored).await;
}

/// In milliseconds.
const WEEK: i64 = 7 * 24 * 3600 * 1000;

/// Makes all generations so much younger, or older, and due to be asked for.
fn shift(t: &TestApp, by: i64) {
    let db = rusqlite::Connection::open(t.data.path().join("clipkeep.db")).unwrap();
    db.busy_timeout(LONG).unwrap();
    db.execute("UPDATE generations SET created_at = created_at + ?1, poll_at = 1", [by]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_is_old_when_first_asked_for_gets_its_tries() {
    let nobody = [
        ("fal_queue_url", "http://127.0.0.1:9".to_owned()),
        ("sweep_interval", "1d".to_owned()),
        ("poll_after", "1d".to_owned()),
        ("not_found_attempts", "2".to_owned()),
    ];
    let t = node(SimOptions::default(), &nobody).await;
    register(&t, "r").await;
    for given_up in [0, 1] {
        shift(&t, -WEEK);
        let polls = t.app.sweep.round().await.polls;
        assert_eq!((polls.asked, polls.given_up), (1, given_up), "{polls:?}");
    }
}

/// The one generation to ask for, claimed.
async fn poll_of(t: &TestApp, at: clipkeep_core::time::Timestamp) -> clipkeep::catalog::polls::Poll {
    t.app.catalog.claim_polls(at, at, 1).await.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn case_16_two_nodes_ask_once() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let database = ("database", postgres::database().await);
    let data = || Arc::new(tempfile::tempdir().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let store = ("store", format!("file://{}", folder.path().display()));
    let settings = [&quick()[..], &[database, store, ("poll_after", "2s".to_owned())]].concat();
    let a = TestApp::on(sim.clone(), data(), &settings, &[]).await;
    let b = TestApp::on(sim.clone(), data(), &settings, &[]).await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        let id = submit(&a, false).await;
        register(&b, &id).await;
        ids.push(id);
    }
    for id in &ids {
        a.until(&format!("{id}.mp4"), ClipState::Stored).await;
        assert_eq!(sim.status_requests(id), 1, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_and_a_poll_at_one_moment_make_one_clip() {
    let t = node(SimOptions::default(), &[("poll_after", "0s".to_owned()), ("sweep_interval", "1d".to_owned())]).await;
    for round in 0..10 {
        let id = submit(&t, false).await;
        let payload = result(&t, &id).await;
        register(&t, &id).await;
        let (report, answer) = tokio::join!(t.app.sweep.round(), t.hook_payload(&id, &payload, ""));
        assert_eq!((answer.status().as_u16(), report.polls.later), (200, 0), "round {round}");
        let key = format!("{id}.mp4");
        t.until(&key, ClipState::Stored).await;
        let history = t.api(&format!("/api/v1/clips/{key}/history")).await;
        let count = |word: &str| history["history"].as_array().unwrap().iter().filter(|l| l["event"] == word).count();
        assert_eq!((count("received"), count("stored"), count("source_replaced")), (1, 1, 0), "{history}");
        let generation = t.api(&format!("/api/v1/generations/{id}")).await;
        assert_eq!(generation["clips"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweeps_numbers_add_up() {
    let t = node(SimOptions::default(), &[("poll_after", "0s".to_owned()), ("sweep_interval", "1d".to_owned())]).await;
    let done = submit(&t, false).await;
    result(&t, &done).await;
    t.sim.set_webhook_faults(WebhookFaults { error: Some("no".into()), ..WebhookFaults::default() });
    let failed = submit(&t, false).await;
    let failed_url = format!("{}/fal-ai/kling-video/requests/{failed}", t.sim.queue_url());
    while t.client.get(&failed_url).send().await.unwrap().status() == 400 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let running = submit(&t, false).await;
    for id in [&done, &failed, &running, "unknown"] {
        register(&t, id).await;
    }
    t.register(&json!({"request_id": "no-model"})).await;
    let report = t.app.sweep.round().await;
    let polls = report.polls;
    assert_eq!((polls.asked, polls.completed, polls.failed, polls.running, polls.later), (4, 1, 1, 1, 1));
    assert_eq!((polls.clips, polls.unasked, polls.given_up), (1, 1, 0));
    assert!(report.unfinished.is_empty());
    let metrics = t.client.get(format!("{}/metrics", t.url)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("clipkeep_polls_total{outcome=\"completed\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_at_risk_is_told_of_once_and_listed() {
    let risky = [("policy", "on_demand".to_owned()), ("source_expires_after", "1h".to_owned())];
    let t = node(SimOptions::default(), &risky).await;
    for id in ["a", "b"] {
        t.hook(id, &t.sim.add_file("a.mp4", Media::named("silent.mp4")), "").await;
    }
    let began = Instant::now();
    while events(&t, EventType::ClipAtRisk).await.len() < 2 {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(t.app.sweep.round().await.risk.reported, 0);
    let told = events(&t, EventType::ClipAtRisk).await;
    assert!(told.len() == 2 && told[0].as_ref().unwrap().contains("expected to vanish at"), "{told:?}");
    let keys = |list: &Value| list["clips"].as_array().unwrap().iter().map(|c| c["key"].clone()).collect::<Vec<_>>();
    assert_eq!(keys(&t.api("/api/v1/at-risk").await), ["a.mp4", "b.mp4"]);
    assert_eq!(keys(&t.api("/api/v1/at-risk?limit=1").await), ["a.mp4"]);
    let anonymous = t.client.get(format!("{}/api/v1/at-risk", t.url)).send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
    let (code, out, _) = clipkeep(&t.sim, t.data.path(), &["sweep", "--at-risk", "--json"], &[]);
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, keys(&listed)), (0, vec![json!("a.mp4"), json!("b.mp4")]));
    assert!(listed["clips"][0].get("source_url").is_none());
    let metrics = t.client.get(format!("{}/metrics", t.url)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("clipkeep_clips_at_risk 2"), "{metrics}");
}

/// Made up by one who has a token; the key that they are asked for with is all
/// tenants'.
#[tokio::test(flavor = "multi_thread")]
async fn h14_made_up_ids_of_one_tenant_leave_the_polls_to_others() {
    const MADE_UP: usize = 200;
    let settings = [("sweep_interval", "1h"), ("poll_after", "0s"), ("retry_base", "10s"), ("retry_max", "10m")];
    let settings = settings.map(|(name, value)| (name, value.to_owned()));
    let t = node(SimOptions::default(), &settings).await;
    let token = async |tenant: &str| {
        let body = json!({"name": tenant, "tenant": tenant});
        let made = t.client.post(format!("{}/api/v1/tokens", t.url)).bearer_auth(&t.token).json(&body).send().await;
        made.unwrap().json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned()
    };
    let (eve, acme) = (token("eve").await, token("acme").await);
    let register = async |token: &str, id: &str| {
        let body = json!({"request_id": id, "model": MODEL});
        let told = t.client.post(format!("{}/api/v1/generations", t.url)).bearer_auth(token).json(&body).send().await;
        assert_eq!(told.unwrap().status(), 200);
    };
    for n in 0..MADE_UP {
        register(&eve, &format!("made-up-{n}")).await;
    }
    let genuine = submit(&t, false).await;
    result(&t, &genuine).await;
    register(&acme, &genuine).await;
    let asked = || t.sim.calls().iter().filter(|call| call.path.contains("/requests/made-up-")).count();
    let polls = t.app.sweep.round().await.polls;
    assert_eq!(polls.completed, 1);
    t.until(&format!("{genuine}.mp4"), ClipState::Stored).await;
    let first = asked();
    assert!((32..48).contains(&first) && polls.behind as usize >= MADE_UP - 48, "{first} {polls:?}");
    // Neither they nor the others are due again soon.
    for _ in 0..5 {
        t.app.sweep.round().await;
    }
    assert!(asked() < first + 10, "{} after {first}", asked());
}
