//! Replicate: its webhooks in any order, its shapes, its short memory.

use std::time::Duration;

use clipkeep_core::state::{ClipState, GenerationStatus};
use fal_sim::{Media, ReplicateFaults, SimOptions};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{deliver, eventually, node, until};
use crate::support::app::TestApp;

const NO_HOOKS: &[&str] = &[];
const ALL: &[&str] = &["start", "output", "logs", "completed"];

/// Starts a prediction as an app would, with our hook for these events.
async fn predict(t: &TestApp, model: &str, events: &[&str]) -> String {
    let mut request = json!({"model": model, "input": {"prompt": "a fox", "seed": 7}});
    if !events.is_empty() {
        request["webhook"] = json!(format!("{}/hooks/replicate?tenant=acme", t.url));
        request["webhook_events_filter"] = json!(events);
    }
    let request = t.client.post(format!("{}/v1/predictions", t.sim.replicate().api_url())).json(&request);
    let reply: Value = request.bearer_auth("r8_token").send().await.unwrap().json().await.unwrap();
    reply["id"].as_str().unwrap().to_owned()
}

/// A signed webhook of this prediction.
async fn hook(t: &TestApp, prediction: &Value) -> (u16, Value) {
    let delivery = t.sim.replicate().sign("msg_1", prediction.to_string().into_bytes());
    let answer = deliver(t, "replicate", delivery).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn a_prediction(t: &TestApp, id: &str, status: &str, output: &Value) -> Value {
    t.sim.replicate().prediction(id, status, &json!({"prompt": "a fox"}), output)
}

/// The statuses that the events of a prediction were answered with.
async fn answers(t: &TestApp, id: &str, count: usize) -> Vec<(String, u16)> {
    let of_it = || {
        let sent = t.sim.replicate().sent().into_iter();
        sent.filter(|sent| sent.request_id.starts_with(id)).collect::<Vec<_>>()
    };
    eventually("all events were sent", async || of_it().len() >= count).await;
    let word = |id: &str| id.split_once(' ').unwrap().1.to_owned();
    of_it().into_iter().map(|sent| (word(&sent.request_id), sent.status)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn case_32_predictions_of_every_shape_are_kept_and_play() {
    let t = node(SimOptions::default(), &[]).await;
    for (model, clips) in [
        ("minimax/video-01", &[("mp4", "moov-first.mp4")][..]),
        ("acme/stills", &[("png", "still.png"), ("1.jpg", "still.jpg")]),
        ("acme/scene", &[("mp4", "moov-first.mp4"), ("1.png", "still.png")]),
    ] {
        let id = predict(&t, model, ALL).await;
        for (ending, name) in clips {
            let clip = t.until(&format!("{id}.{ending}"), ClipState::Stored).await;
            assert_eq!(clip.sealed.unwrap().sha256, Media::named(name).sha256(), "{model}");
            assert_eq!(clip.source_expires_at, Some(clip.created_at.plus(Duration::from_secs(3600))));
            let played = t.client.get(t.link(clip.key.as_str())).send().await.unwrap();
            assert_eq!(played.status(), 200);
        }
        let generation = t.api(&format!("/api/v1/generations/{id}")).await;
        assert_eq!(generation["clips"].as_array().unwrap().len(), clips.len(), "{generation}");
        let said = ["provider", "status", "model", "prompt", "tenant"].map(|name| generation[name].as_str().unwrap());
        assert_eq!(said, ["replicate", "completed", model, "a fox", "acme"]);
        assert_eq!((&generation["seed"], &generation["input"]["prompt"]), (&json!(7), &json!("a fox")));
        let told = answers(&t, &id, 3).await;
        assert!(told.iter().all(|(_, status)| *status == 200), "{told:?}");
    }
    assert_eq!(t.sim.replicate().asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_30_events_come_in_any_order_and_what_has_ended_stays_ended() {
    let t = node(SimOptions::default(), &[]).await;
    t.sim.replicate().set_faults(ReplicateFaults { end_first: true, ..ReplicateFaults::default() });
    let id = predict(&t, "minimax/video-01", ALL).await;
    let told = answers(&t, &id, 3).await;
    let expected = ["completed", "start", "output"].map(|word| (word.to_owned(), 200));
    assert_eq!(told, expected);
    t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    let generation = t.api(&format!("/api/v1/generations/{id}")).await;
    assert_eq!(generation["clips"].as_array().unwrap().len(), 1, "half an output is no clip: {generation}");
    // Whatever is said of it then.
    for (status, output) in
        [("starting", json!(null)), ("processing", json!("https://h/half.mp4")), ("canceled", json!(null))]
    {
        let (code, said) = hook(&t, &a_prediction(&t, &id, status, &output)).await;
        assert_eq!((code, &said["status"]), (200, &json!("duplicate")), "{status}");
    }
    assert_eq!(t.api(&format!("/api/v1/generations/{id}")).await["status"], "completed");
    // One that is canceled keeps what it had made.
    assert_eq!(hook(&t, &a_prediction(&t, "stopped", "canceled", &json!(["https://h/1.mp4"]))).await.0, 200);
    let stopped = t.api("/api/v1/generations/stopped").await;
    assert_eq!((&stopped["status"], &stopped["clips"][0]["key"]), (&json!("failed"), &json!("stopped.mp4")));
    assert_eq!(stopped["error"], "the prediction was canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_29_duplicates_are_one_clip_and_one_download() {
    let t = node(SimOptions::default(), &[]).await;
    let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    let body = a_prediction(&t, "dup", "succeeded", &json!(source));
    let said = join_all((0..50).map(|_| hook(&t, &body))).await;
    assert!(said.iter().all(|(code, _)| *code == 200), "{said:?}");
    assert_eq!(said.iter().filter(|(_, said)| said["status"] == "recorded").count(), 1);
    t.until("dup.mp4", ClipState::Stored).await;
    assert_eq!(t.sim.requests_for(&source).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_31_only_what_replicate_signed_lately_is_believed() {
    let old = "whsec_dGhlIHNlY3JldCBvZiBsYXN0IHllYXIgaXMgbG9uZw==";
    let t = node(SimOptions::default(), &[]).await;
    let now = t.app.clock.now().secs();
    let body = a_prediction(&t, "forged", "succeeded", &json!("https://h/x.mp4")).to_string().into_bytes();
    let signed = |at: i64| t.sim.replicate().sign_at("msg_1", body.clone(), at);
    let with = |name: &'static str, value: &str| {
        let mut delivery = signed(now);
        delivery.headers.retain(|(own, _)| *own != name);
        delivery.headers.push((name, value.to_owned()));
        delivery
    };
    let mut altered = signed(now);
    altered.body.push(b'\n');
    let mut bare = signed(now);
    bare.headers.clear();
    for (what, delivery) in [
        ("too old", signed(now - 302)),
        ("from the future", signed(now + 302)),
        ("altered", altered),
        ("not signed", bare),
        ("another message", with("webhook-id", "msg_2")),
        ("another signature", with("webhook-signature", "v1,AAAA")),
        ("no signature", with("webhook-signature", "")),
        ("fal's", t.sim.sign("forged", body.clone())),
    ] {
        assert_eq!(deliver(&t, "replicate", delivery).await.status(), 401, "{what}");
    }
    for odd in [&b"{"[..], b"[]", b"\xff", br#"{"id":"x"}"#, br#"{"id":"../x","status":"succeeded"}"#] {
        let delivery = t.sim.replicate().sign("msg_1", odd.to_vec());
        assert_eq!(deliver(&t, "replicate", delivery).await.status(), 400);
    }
    assert!(t.app.catalog.generation(&"forged".parse().unwrap()).await.unwrap().is_none());
    assert_eq!(deliver(&t, "replicate", signed(now - 298)).await.status(), 200);

    // While its secret is changed, both fit.
    let both = format!("{old}, {}", t.sim.replicate().secret());
    let t = node(SimOptions::default(), &[("replicate_webhook_secret", both)]).await;
    assert_eq!(hook(&t, &a_prediction(&t, "rotated", "starting", &json!(null))).await.0, 200);
    let t = node(SimOptions::default(), &[("replicate_webhook_secret", old.to_owned())]).await;
    assert_eq!(hook(&t, &a_prediction(&t, "rotated", "starting", &json!(null))).await.0, 401);
    // Without a secret nothing is believed; it may come again.
    let t = node(SimOptions::default(), &[("replicate_webhook_secret", String::new())]).await;
    let (code, said) = hook(&t, &a_prediction(&t, "x", "starting", &json!(null))).await;
    assert!(code == 503 && said["detail"].as_str().unwrap().contains("`replicate_webhook_secret`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prediction_whose_last_webhook_was_lost_is_found() {
    let t =
        node(SimOptions::default(), &[("poll_after", "0s".to_owned()), ("sweep_interval", "20ms".to_owned())]).await;
    t.sim.replicate().set_faults(ReplicateFaults { drop: true, ..ReplicateFaults::default() });
    // Its first webhook told of it.
    let id = predict(&t, "acme/scene", ALL).await;
    t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    t.until(&format!("{id}.1.png"), ClipState::Stored).await;
    let clip = t.api(&format!("/api/v1/clips/{id}.mp4")).await;
    assert_eq!((&clip["tenant"], &clip["prompt"]), (&json!("acme"), &json!("a fox")));
    // Its app did, and no model is needed.
    let id = predict(&t, "minimax/video-01", NO_HOOKS).await;
    t.register(&json!({"provider": "replicate", "request_id": id})).await;
    t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    assert_eq!(t.api(&format!("/api/v1/clips/{id}.mp4")).await["model"], "minimax/video-01");
    assert_eq!(t.app.catalog.count_unasked().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_asked_soon_and_often_whatever_is_configured() {
    let late = [("poll_after", "1d"), ("retry_base", "1h"), ("retry_max", "1d")];
    let late = late.map(|(name, value)| (name, value.to_owned()));
    let slow = SimOptions { run_time: Duration::from_secs(3600), ..SimOptions::default() };
    let t = node(slow, &late).await;
    let id = predict(&t, "minimax/video-01", &["start"]).await;
    let minute = Duration::from_secs(60);
    let told = until(&t, &id, GenerationStatus::Pending).await;
    assert_eq!(told.poll_at, Some(told.created_at.plus(minute)));
    let db = rusqlite::Connection::open(t.data.path().join("clipkeep.db")).unwrap();
    db.busy_timeout(super::LONG).unwrap();
    db.execute("UPDATE generations SET poll_at = 1", ()).unwrap();
    let polls = t.app.sweep.round().await.polls;
    assert_eq!((polls.asked, polls.running), (1, 1));
    let next = until(&t, &id, GenerationStatus::Pending).await.poll_at.unwrap();
    assert!(next <= t.app.clock.now().plus(minute), "{next}");
}

#[tokio::test(flavor = "multi_thread")]
async fn i02_what_failed_or_was_forgotten_is_failed_with_the_reason() {
    let t =
        node(SimOptions::default(), &[("poll_after", "0s".to_owned()), ("sweep_interval", "20ms".to_owned())]).await;
    let words = "cannot read https://replicate.delivery/x.png";
    t.sim.replicate().set_faults(ReplicateFaults { error: Some(words.into()), ..ReplicateFaults::default() });
    let id = predict(&t, "minimax/video-01", ALL).await;
    let failed = until(&t, &id, GenerationStatus::Failed).await;
    assert_eq!(failed.error.as_deref(), Some("cannot read [url]"));
    t.sim.replicate().set_faults(ReplicateFaults { removed: true, ..ReplicateFaults::default() });
    let id = predict(&t, "minimax/video-01", NO_HOOKS).await;
    t.register(&json!({"provider": "replicate", "request_id": id, "prompt": "a fox"})).await;
    let failed = until(&t, &id, GenerationStatus::Failed).await;
    assert_eq!(failed.error.as_deref(), Some("the provider has removed its output already"));
    assert_eq!((failed.facts.input, failed.facts.prompt.as_deref()), (None, Some("a fox")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_said_and_does_not_hold_up_fal() {
    let t = node(SimOptions::default(), &[("poll_after", "0s".to_owned()), ("replicate_token", String::new())]).await;
    for n in 0..20 {
        t.register(&json!({"provider": "replicate", "request_id": format!("r{n}")})).await;
    }
    let url = format!("{}/fal-ai/veo3", t.sim.queue_url());
    let reply: Value = t.client.post(url).json(&json!({})).send().await.unwrap().json().await.unwrap();
    let id = reply["request_id"].as_str().unwrap();
    t.register(&json!({"request_id": id, "model": "fal-ai/veo3"})).await;
    let polls = t.app.sweep.round().await.polls;
    assert_eq!((polls.asked, polls.later, t.sim.replicate().asked()), (21, 20, 0));
    assert_eq!(t.sim.status_requests(id), 1);
    let hold = t.app.clock.now().plus(super::LONG);
    let poll = t.app.catalog.claim_polls(hold, hold, 1).await.unwrap().remove(0);
    assert!(poll.error.unwrap().contains("`replicate_token`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_at_two_providers_is_refused_and_the_first_keeps_its_clip() {
    let t = node(SimOptions::default(), &[]).await;
    let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    assert_eq!(t.hook("same", &source, "").await.status(), 200);
    let (code, said) = hook(&t, &a_prediction(&t, "same", "succeeded", &json!("https://h/other.mp4"))).await;
    assert_eq!((code, &said["code"]), (409, &json!("conflict")), "{said}");
    let clip = t.until("same.mp4", ClipState::Stored).await;
    assert_eq!(clip.provider.as_str(), "fal");
    assert_eq!(t.api("/api/v1/generations/same").await["provider"], "fal");
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_sources_live_is_the_generations_the_rules_or_the_providers_word() {
    let rules = [
        ("source_lifetimes", "provider=replicate:2h, model=fal-ai/draft*:6h".to_owned()),
        ("source_expires_after", "7d".to_owned()),
        ("policy", "on_demand".to_owned()),
    ];
    let t = node(SimOptions::default(), &rules).await;
    let lives = async |key: &str| {
        let clip = t.app.catalog.clip(&key.parse().unwrap()).await.unwrap().unwrap();
        clip.source_expires_at.unwrap().since(clip.created_at).as_secs() / 3600
    };
    hook(&t, &a_prediction(&t, "a", "succeeded", &json!("https://h/a.mp4"))).await;
    assert_eq!(lives("a.mp4").await, 2);
    t.hook("b", "https://h/b.mp4", "?model=fal-ai/draft/fast").await;
    assert_eq!(lives("b.mp4").await, 6);
    // The model may have been told before.
    t.register(&json!({"request_id": "c", "model": "fal-ai/draft"})).await;
    t.hook("c", "https://h/c.mp4", "").await;
    assert_eq!(lives("c.mp4").await, 6);
    t.hook("d", "https://h/d.mp4", "").await;
    assert_eq!(lives("d.mp4").await, 7 * 24);
    // A deferred one does not wait until its source is gone.
    t.hook("e", "https://h/e.mp4", "?model=fal-ai/draft&policy=deferred").await;
    let clip = t.app.catalog.clip(&"e.mp4".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(clip.due_at.unwrap().since(clip.created_at).as_secs() / 3600, 3);
}
