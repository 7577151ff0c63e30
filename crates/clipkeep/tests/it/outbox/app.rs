//! What an app is told of by a whole node, verified as apps do it.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clipkeep_core::state::ClipState;
use data_encoding::BASE64;
use fal_sim::{Fault, Faults, Media};
use serde_json::{Value, json};

use crate::{
    cli::clipkeep,
    support::{
        app::TestApp,
        receiver::{Got, Receiver, Reply},
    },
};

const JS: &str = r#"
import { receive } from "./events.mjs";
let input = "";
for await (const chunk of process.stdin) input += chunk;
for (const { headers, body, genuine } of JSON.parse(input)) {
  let event = null;
  try { event = receive(headers, Buffer.from(body, "base64").toString()); } catch {}
  if ((event !== null) !== genuine) throw new Error(`${headers["webhook-id"]}: ${event}`);
  if (genuine) console.log(event.type);
}
"#;

const PYTHON: &str = r#"
import base64, json, sys
from events import receive
for message in json.load(sys.stdin):
    event = None
    try:
        event = receive(message["headers"], base64.b64decode(message["body"]))
    except Exception:
        pass
    assert (event is not None) == message["genuine"], (message["headers"], event)
    if message["genuine"]:
        print(event["type"])
"#;

/// The official libraries, as `./test` installs them.
fn libraries() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/webhooks");
    let there = tools.join("node_modules/standardwebhooks").exists() && tools.join("python/bin/python").exists();
    assert!(there, "the official Standard Webhooks libraries are missing: run ./test once, it installs them");
    tools.canonicalize().unwrap()
}

/// The example in this language, as it stands in docs/events.md.
fn example(language: &str) -> &'static str {
    let document = include_str!("../../../../../docs/events.md");
    let (_, rest) = document.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// Each request as it came; and altered, signed for another, and kept too long.
fn messages(got: &[Got]) -> Value {
    let mut messages = Vec::new();
    for one in got {
        let header = |name| (name, one.header(name).to_owned());
        let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(header);
        let with = |at: usize, value: &str| {
            let mut headers = headers.clone();
            headers[at].1 = value.to_owned();
            json!(headers.into_iter().collect::<std::collections::BTreeMap<_, _>>())
        };
        let altered = String::from_utf8(one.body.to_vec()).unwrap().replace("type", "tipe");
        let old: i64 = one.header("webhook-timestamp").parse().unwrap();
        let same = with(0, one.header("webhook-id"));
        let mut add = |headers: &Value, body: &[u8], genuine: bool| {
            messages.push(json!({"headers": headers, "body": BASE64.encode(body), "genuine": genuine}));
        };
        add(&same, &one.body, true);
        add(&same, altered.as_bytes(), false);
        add(&with(0, "evt_0_0"), &one.body, false);
        add(&with(1, &(old - 400).to_string()), &one.body, false);
    }
    json!(messages)
}

/// Runs a program on the messages; the types that it read.
fn run(mut command: Command, secret: &str, messages: &Value) -> Vec<String> {
    command.env("EVENT_SECRET", secret).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(messages.to_string().as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn assert_official_libraries_agree(secret: &str, got: &[Got]) {
    let (tools, dir, messages) = (libraries(), tempfile::tempdir().unwrap(), messages(got));
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    std::os::unix::fs::symlink(tools.join("node_modules"), dir.path().join("node_modules")).unwrap();
    write("events.mjs", example("js"));
    write("driver.mjs", JS);
    write("events.py", example("python"));
    write("driver.py", PYTHON);
    let types: Vec<_> = got.iter().map(|one| one.json()["type"].as_str().unwrap().to_owned()).collect();
    for (program, driver) in [(PathBuf::from("node"), "driver.mjs"), (tools.join("python/bin/python"), "driver.py")] {
        let mut command = Command::new(&program);
        command.arg(driver).current_dir(dir.path());
        assert_eq!(run(command, secret, &messages), types, "{}", program.display());
    }
}

/// One event of each kind that a node makes by itself.
async fn make_news(t: &TestApp) {
    let add = |fault: Fault| t.sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(fault));
    // What the app tells of the generation names a source, too.
    let source = add(Fault::default());
    let facts = json!({"request_id": "stored", "model": "m", "tenant": "acme", "prompt": format!("like {source}"),
        "input": {"image_url": source}});
    t.register(&facts).await;
    t.hook("stored", &source, "").await;
    t.hook("lost", &add(Fault::status(404)), "").await;
    t.hook("rejected", &add(Fault::page("text/html", "<html>gone</html>")), "").await;
    t.hook("looping", &add(Fault::redirect(format!("{}/files/b/loop", t.sim.media_url()))), "").await;
    let words = format!("cannot read {source}");
    let failed = json!({"request_id": "failed", "status": "ERROR", "error": words, "payload": null});
    t.deliver(t.sim.sign("failed", failed.to_string().into_bytes()), "?model=m2&tenant=acme").await;
    for (key, state) in [("stored", ClipState::Stored), ("lost", ClipState::Lost), ("rejected", ClipState::Rejected)] {
        t.until(&format!("{key}.mp4"), state).await;
    }
    t.until("looping.mp4", ClipState::Lost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_verify_what_they_are_told_with_the_official_libraries() {
    let receiver = Receiver::start().await;
    let t = TestApp::with(&[("not_found_attempts", "2".into()), ("event_endpoints", receiver.url.clone())]).await;
    make_news(&t).await;
    let got = receiver.until("all told", |got| got.len() >= 5).await;
    let (code, secret, _) = clipkeep(&t.sim, t.data.path(), &["events", "secret"], &[]);
    assert_eq!(code, 0);
    assert_official_libraries_agree(secret.trim(), &got);

    let told = |subject: &str| got.iter().find(|one| one.subject() == subject).unwrap().json();
    let stored = told("stored.mp4");
    let row = t.api("/api/v1/clips/stored.mp4").await;
    let data = stored["data"].as_object().unwrap();
    for (name, value) in data.iter().filter(|(name, _)| *name != "reason") {
        assert_eq!(*value, row[name], "{name}");
    }
    for name in ["final_url", "sha256", "size", "duration", "prompt_hash", "tenant", "model", "content_type"] {
        assert!(!data[name].is_null(), "{name}");
    }
    assert_eq!(stored["type"], "clip.stored");
    assert!(stored["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(told("lost.mp4")["type"], "clip.lost");
    assert!(told("lost.mp4")["data"]["reason"].as_str().unwrap().contains("404"));
    assert_eq!(told("rejected.mp4")["data"]["final_url"], Value::Null);
    let failed = told("failed");
    assert_eq!((&failed["type"], &failed["data"]["model"]), (&json!("generation.failed"), &json!("m2")));
    assert_eq!(failed["data"]["tenant"], "acme");
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_clip_is_told_with_what_a_cdn_must_drop() {
    let receiver = Receiver::start().await;
    let t = TestApp::with(&[("event_endpoints", receiver.url.clone())]).await;
    let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    t.hook("g", &source, "").await;
    t.until("g.mp4", ClipState::Stored).await;
    let delete = t.client.delete(format!("{}/api/v1/clips/g.mp4", t.url)).bearer_auth(&t.token);
    assert!(delete.send().await.unwrap().status().is_success());
    let got = receiver.until("told", |got| got.iter().any(|one| one.json()["type"] == "clip.deleted")).await;
    let told = got.last().unwrap().json();
    let cached = [format!("{}/v/g.mp4", t.url), format!("{}/p/g.mp4.jpg", t.url)];
    assert_eq!(told["data"]["purge"], json!(cached));
    assert_eq!(told["data"]["state"], "deleted");
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i02_no_event_that_an_app_is_told_of_carries_a_source() {
    let receiver = Receiver::start().await;
    let t = TestApp::with(&[("not_found_attempts", "2".into()), ("event_endpoints", receiver.url.clone())]).await;
    make_news(&t).await;
    let got = receiver.until("all told", |got| got.len() >= 5).await;
    let host = t.sim.media_url().replace("http://", "");
    for one in &got {
        let body = String::from_utf8(one.body.to_vec()).unwrap();
        assert!(!body.contains(&host) && !body.contains("/files/b/"), "{body}");
    }
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_list_events_and_replay_what_was_parked() {
    let receiver = Receiver::start().await;
    receiver.answer(|got| Reply::Status(if got.subject() == "lost.mp4" { 410 } else { 200 }));
    let endpoints = receiver.url.clone();
    let t = TestApp::with(&[("not_found_attempts", "2".into()), ("event_endpoints", endpoints.clone())]).await;
    make_news(&t).await;
    receiver.until("all told", |got| got.len() >= 5).await;
    let endpoint = [("CLIPKEEP_EVENT_ENDPOINTS", endpoints.as_str())];
    let run = |args: &[&str]| clipkeep(&t.sim, t.data.path(), &[&["events"], args].concat(), &endpoint);
    let read = |args: &[&str]| serde_json::from_str::<Value>(&run(&[args, &["--json"]].concat()).1).unwrap();
    let (code, out, _) = run(&[]);
    assert_eq!(code, 0);
    assert!(out.contains("clip.stored") && out.contains("stored.mp4") && out.contains("generation.failed"), "{out}");
    let lost = read(&["--type", "clip.lost", "--limit", "1000"]);
    assert_eq!(lost["events"].as_array().unwrap().len(), 2, "{lost}");
    let first = read(&["--after", "0-0", "--limit", "1"])["events"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(read(&["--after", &first])["events"].as_array().unwrap().len(), 4);
    for args in [&["--after", "0-9999"][..], &["replay", "--after", "4711-42"]] {
        let (code, out, errors) = run(args);
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}");
        assert!(errors.contains("was never given"), "{errors}");
    }
    let (code, _, errors) = run(&["--type", "clip.revised"]);
    assert_eq!(code, 2, "it is for nodes alone");
    assert!(errors.contains("clip.stored") && errors.matches("clip.revised").count() == 1, "{errors}");

    let began = tokio::time::Instant::now();
    let parked = loop {
        let parked = read(&["parked"]);
        if let Some(one) = parked["parked"].get(0) {
            break one.clone();
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{parked}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!((&parked["key"], &parked["last_error"]), (&json!("lost.mp4"), &json!("it answered 410")));
    let name = parked["endpoint"].as_str().unwrap().to_owned();
    assert!(!name.contains("hunter2") && run(&["parked"]).1.contains(&name));
    let metrics = t.client.get(format!("{}/metrics", t.url)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains(&format!("clipkeep_events_parked{{endpoint=\"{name}\"}} 1")), "{metrics}");
    assert!(
        metrics.contains("clipkeep_event_deliveries_total{outcome=\"delivered\"} 4") && !metrics.contains("hunter2")
    );

    receiver.answer(|_| Reply::Status(200));
    assert_eq!(run(&["replay", "--parked", "--endpoint", "nobody"]).0, 1);
    assert_eq!(run(&["replay"]).0, 2, "which, it has to be said");
    let replayed = read(&["replay", "--parked", "--endpoint", &name]);
    assert_eq!(replayed["replayed"], json!([{"endpoint": name, "events": 1}]));
    receiver.until("told again", |got| got.len() >= 6).await;
    assert_eq!(read(&["replay", "--key", "stored.mp4"])["replayed"][0]["events"], 1);
    receiver.until("told again", |got| got.iter().filter(|one| one.subject() == "stored.mp4").count() >= 2).await;
    assert_eq!(read(&["replay", "--after", "0-0"])["replayed"][0]["events"], 5);
    receiver.until("all told again", |got| got.len() >= 12).await;
    assert_eq!(read(&["parked"])["parked"], json!([]));
    let (_, data) = t.stop().await;
    for file in data.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "the URL stands in {}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_what_waits_and_the_doctor_what_was_parked() {
    let receiver = Receiver::start().await;
    receiver.answer(|_| Reply::Status(503));
    let endpoints = receiver.url.clone();
    let t = TestApp::with(&[("event_endpoints", endpoints.clone())]).await;
    let endpoint = [("CLIPKEEP_EVENT_ENDPOINTS", endpoints.as_str())];
    let run = |args: &[&str]| clipkeep(&t.sim, t.data.path(), args, &endpoint);
    let read = |args: &[&str]| serde_json::from_str::<Value>(&run(&[args, &["--json"]].concat()).1).unwrap();
    let check = || {
        let report = read(&["doctor"]);
        report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "events").unwrap().clone()
    };
    let until = async |what: &str| {
        let began = tokio::time::Instant::now();
        loop {
            let listed = read(&["events", what]);
            if let Some(one) = listed[what].get(0) {
                break one.clone();
            }
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{what}: {listed}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    assert!(check()["detail"].as_str().unwrap().ends_with(": nothing waits"));
    t.hook("a", &t.sim.add_file("a.mp4", Media::named("silent.mp4")), "").await;
    let waiting = until("waiting").await;
    assert_eq!((&waiting["key"], &waiting["last_error"]), (&json!("a.mp4"), &json!("it answered 503")));
    assert!(
        waiting["attempts"].as_u64() >= Some(1) && waiting["next_at"].is_string() && waiting["first_at"].is_string()
    );
    let (_, table, _) = run(&["events", "waiting"]);
    assert!(table.contains("a.mp4") && table.contains("it answered 503"), "{table}");
    let seen = check();
    assert_eq!(seen["ok"], true, "it is sent again: {seen}");
    assert!(seen["detail"].as_str().unwrap().contains("1 waiting, 0 parked"), "{seen}");
    receiver.answer(|_| Reply::Status(410));
    let name = until("parked").await["endpoint"].clone();
    let seen = check();
    assert!(seen["ok"] == false && seen["hint"].is_string(), "{seen}");
    assert!(seen["detail"].as_str().unwrap().starts_with(name.as_str().unwrap()), "{seen}");
    assert!(!seen.to_string().contains("hunter2"));
    assert_eq!(run(&["doctor"]).0, 1);
    t.stop().await;
}
