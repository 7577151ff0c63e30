//! Budgets of a running node: the app is told, once; the same numbers stand in
//! costs, on the page, and in the metrics.

use std::{sync::Arc, time::Duration};

use clipkeep_core::state::ClipState;
use fal_sim::{Media, Sim, SimOptions};
use serde_json::{Value, json};

use crate::{
    cli::clipkeep,
    support::{app::TestApp, postgres, receiver::Receiver},
};

const LEN: u64 = 5_000_000;
/// The egress of one play on S3 is $0.00045; a generation costs $0.25.
const BUDGETS: &str = "all:0.25@aws-s3-standard, tenant=acme:0.30@aws-s3-standard, tenant=*:1@cloudflare-r2";

fn settings(endpoint: &str) -> Vec<(&'static str, String)> {
    vec![
        ("budgets", BUDGETS.to_owned()),
        ("generation_prices", "model=m*:0.25".to_owned()),
        ("sweep_interval", "1s".to_owned()),
        ("event_endpoints", endpoint.to_owned()),
    ]
}

async fn play(t: &TestApp, request_id: &str) {
    t.hook(request_id, &t.sim.add_file("a.mp4", Media::padded(LEN, 3)), "?tenant=acme&model=m1").await;
    let key = format!("{request_id}.mp4");
    t.until(&key, ClipState::Stored).await;
    let whole = t.client.get(t.link(&key)).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(whole.len() as u64, LEN);
}

/// What was told of budgets: whose, threshold.
fn alarms(receiver: &Receiver) -> Vec<(Value, Value)> {
    let told = receiver.taken().into_iter().map(|got| got.json());
    let of_budgets = told.filter(|told| told["type"] == "budget.exceeded");
    of_budgets.map(|told| (told["data"]["tenant"].clone(), told["data"]["threshold"].clone())).collect()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = tokio::time::Instant::now();
    while !holds().await {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_is_told_once_and_all_show_the_same_numbers() {
    let receiver = Receiver::start().await;
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let data = Arc::new(tempfile::tempdir().unwrap());
    let t = TestApp::on(sim, data, &settings(&receiver.url), &[]).await;
    play(&t, "one").await;
    // All: 100 % and more. acme: 83 %, and 25 % on the other list.
    until("the app is not told", async || alarms(&receiver).len() >= 3).await;
    let mut told = alarms(&receiver);
    told.sort_by_key(|(whose, threshold)| (whose.to_string(), threshold.as_u64()));
    assert_eq!(told, [(json!("acme"), json!(80)), (Value::Null, json!(80)), (Value::Null, json!(100))]);
    let costs = t.api("/api/v1/costs").await;
    let budgets = costs["budgets"].as_array().unwrap();
    let short = |one: &Value| (one["tenant"].clone(), one["price_list"].clone(), one["percent"].clone());
    let expected = [
        (Value::Null, json!("aws-s3-standard"), json!(100)),
        (json!("acme"), json!("aws-s3-standard"), json!(83)),
        (json!("acme"), json!("cloudflare-r2"), json!(25)),
    ];
    assert_eq!(budgets.iter().map(short).collect::<Vec<_>>(), expected);
    assert_eq!(budgets[0]["spent"], costs["total"]["costs"][0]["total"], "the same numbers that costs show");
    let one_list = t.api("/api/v1/costs?tenant=acme&list=cloudflare-r2").await;
    assert_eq!((one_list["budgets"].as_array().unwrap().len(), &one_list["budgets"][0]["budget"]), (1, &json!("1.00")));
    let metrics = async |token: &str| {
        let asked = t.client.get(format!("{}/metrics", t.url)).bearer_auth(token);
        asked.send().await.unwrap().text().await.unwrap()
    };
    until("the metrics do not show it", async || {
        let metrics = metrics(&t.token).await;
        assert!(metrics.ends_with("# EOF\n"));
        let has = |what: &str| metrics.lines().any(|line| line.starts_with(what));
        let labels = r#"{budget="all",price_list="aws-s3-standard",currency="USD"}"#;
        has(&format!("clipkeep_budget{labels} 0.25")) && has(&format!("clipkeep_budget_spent{labels} 0.25"))
    })
    .await;
    let anybodys = metrics("nobody's").await;
    assert!(anybodys.contains("clipkeep_up") && !anybodys.contains("budget"), "money is not for everybody");
    assert_eq!(t.api("/api/v1/costs?key=one.mp4").await["budgets"], json!([]), "a clip has no budget");
    a_tenant_sees_its_own(&t).await;
    the_command_shows_them(&t);
    // After a restart nobody is told again, and a raised budget alarms anew.
    let (sim, data) = t.stop().await;
    let mut raised = settings(&receiver.url);
    raised[0].1 = BUDGETS.replace("all:0.25", "all:0.26");
    let t = TestApp::on(sim, data, &raised, &[]).await;
    until("a raised budget is not told of", async || alarms(&receiver).len() >= 4).await;
    t.app.sweep.round().await;
    assert_eq!(alarms(&receiver)[3..], [(Value::Null, json!(80))]);
    t.stop().await;
}

async fn a_tenant_sees_its_own(t: &TestApp) {
    for (name, count) in [("acme", 2), ("other", 1)] {
        let body = json!({"name": name, "tenant": name});
        let made = t.client.post(format!("{}/api/v1/tokens", t.url)).bearer_auth(&t.token).json(&body);
        let made: Value = made.send().await.unwrap().json().await.unwrap();
        let token = made["token"].as_str().unwrap();
        let costs = t.client.get(format!("{}/api/v1/costs", t.url)).bearer_auth(token).send().await.unwrap();
        let costs: Value = costs.json().await.unwrap();
        let budgets = costs["budgets"].as_array().unwrap();
        assert_eq!(budgets.len(), count, "{costs}");
        assert!(budgets.iter().all(|one| one["tenant"] == name), "{costs}");
    }
}

fn the_command_shows_them(t: &TestApp) {
    let more = [("CLIPKEEP_BUDGETS", BUDGETS), ("CLIPKEEP_GENERATION_PRICES", "model=m*:0.25")];
    let page = t.data.path().join("costs.html");
    let path = page.display().to_string();
    let (code, out, log) = clipkeep(&t.sim, t.data.path(), &["costs", "--html", &path], &more);
    assert!(code == 0 && out.contains("BUDGET") && out.contains("0.30 USD") && out.contains("83 %"), "{out} {log}");
    assert!(std::fs::read_to_string(&page).unwrap().contains("acme on aws-s3-standard"));
    let (_, out, _) = clipkeep(&t.sim, t.data.path(), &["costs", "--json"], &more);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["budgets"][0]["tenant"], &told["budgets"][1]["percent"]), (&Value::Null, &json!(83)));
    let nowhere = [("CLIPKEEP_BUDGETS", "all:5@nowhere")];
    let (code, _, log) = clipkeep(&t.sim, t.data.path(), &["costs"], &nowhere);
    assert!(code == 64 && log.contains("nowhere") && log.contains("cloudflare-r2"), "{code} {log}");
    let (code, out, _) = clipkeep(&t.sim, t.data.path(), &["events", "--type", "budget.exceeded"], &more);
    assert!(code == 0 && out.contains("all together: 0.25 of 0.25 USD are spent"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_tell_once() {
    let receiver = Receiver::start().await;
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let mut settings = settings(&receiver.url);
    settings.push(("database", postgres::database().await));
    let store = tempfile::tempdir().unwrap();
    settings.push(("store", format!("file://{}", store.path().display())));
    settings.push(("event_secret", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()));
    let on = |dir| TestApp::on(sim.clone(), Arc::new(dir), &settings, &[]);
    let (one, two) = (on(tempfile::tempdir().unwrap()).await, on(tempfile::tempdir().unwrap()).await);
    play(&one, "one").await;
    until("the app is not told", async || alarms(&receiver).len() >= 3).await;
    tokio::join!(one.app.sweep.round(), two.app.sweep.round());
    // What happens later is told later: then nothing more is to come.
    two.hook("last", &two.sim.add_file("b.mp4", Media::named("silent.mp4")), "?tenant=acme&model=x").await;
    two.until("last.mp4", ClipState::Stored).await;
    until("the last clip is not told of", async || {
        receiver.taken().iter().any(|got| got.json()["data"]["key"] == "last.mp4")
    })
    .await;
    assert_eq!(alarms(&receiver).len(), 3, "{:?}", alarms(&receiver));
    one.stop().await;
    two.stop().await;
}
