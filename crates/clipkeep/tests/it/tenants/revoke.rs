//! Making, listing and revoking tokens, by API and by command.

use std::{sync::Arc, time::Duration};

use clipkeep_core::token::TokenInfo;
use fal_sim::{Sim, SimOptions};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{postgres, token};
use crate::{cli::clipkeep, support::app::TestApp};

/// What this token gets.
async fn status(t: &TestApp, token: &str) -> StatusCode {
    t.client.get(format!("{}/api/v1/clips", t.url)).bearer_auth(token).send().await.unwrap().status()
}

/// Waits until the token gets this answer.
async fn until(t: &TestApp, token: &str, expected: StatusCode) {
    let began = Instant::now();
    while status(t, token).await != expected {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "the token does not get {expected}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn text(row: &Value, field: &str) -> String {
    row[field].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_opens_nothing_on_any_node_within_seconds() {
    let database = postgres::database().await;
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let settings = [("database", database)];
    let on = |dir| TestApp::on(sim.clone(), Arc::new(dir), &settings, &[]);
    let (one, two) = (on(tempfile::tempdir().unwrap()).await, on(tempfile::tempdir().unwrap()).await);
    let made = token(&one, json!({"name": "web", "tenant": "alpha"})).await;
    let (secret, id) = (text(&made, "token"), text(&made, "id"));
    for node in [&one, &two] {
        assert_eq!(status(node, &secret).await, StatusCode::OK);
    }
    let stream = two.client.get(format!("{}/api/v1/events", two.url)).bearer_auth(&secret);
    let mut stream = stream.send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    let delete = one.client.delete(format!("{}/api/v1/tokens/{id}", one.url)).bearer_auth(&one.token);
    assert_eq!(delete.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(status(&one, &secret).await, StatusCode::UNAUTHORIZED, "where it was revoked it is at once");
    until(&two, &secret, StatusCode::UNAUTHORIZED).await;
    // A stream that runs already ends before it tells of anything more.
    let source = two.sim.add_file("a.mp4", fal_sim::Media::named("silent.mp4"));
    two.hook("later", &source, "?tenant=alpha").await;
    let rest = tokio::time::timeout(Duration::from_secs(30), stream.chunk()).await;
    assert_eq!(rest.expect("the stream goes on").unwrap(), None);
    let list: Value = one.api("/api/v1/tokens").await;
    assert!(list["tokens"][0]["revoked_at"].is_string() && list["tokens"][0]["last_used_at"].is_string(), "{list}");
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_listed_and_revoked_by_command_beside_a_running_node() {
    let t = TestApp::start().await;
    let run = |args: &[&str]| clipkeep(&t.sim, t.data.path(), args, &[]);
    assert_eq!(run(&["token"]).1.trim(), t.token);
    assert_eq!(run(&["token", "create", "--name", "x"]).0, 2, "whose it is must be said");
    assert_eq!(run(&["token", "create", "--name", "x", "--admin", "--tenant", "a"]).0, 2);
    assert_eq!(run(&["token", "create", "--name", "", "--admin"]).0, 2);
    let (code, secret, note) = run(&["token", "create", "--name", "web", "--tenant", "alpha"]);
    assert!(code == 0 && secret.starts_with("ck_") && note.contains("not shown again"), "{secret} {note}");
    let (_, made, _) = run(&["token", "create", "--name", "boss", "--admin", "--json"]);
    let boss: Value = serde_json::from_str(&made).unwrap();
    assert_eq!((&boss["admin"], &boss["tenant"]), (&json!(true), &Value::Null));
    until(&t, secret.trim(), StatusCode::OK).await;
    let by_boss = t.client.get(format!("{}/api/v1/tokens", t.url)).bearer_auth(text(&boss, "token"));
    assert_eq!(by_boss.send().await.unwrap().status(), StatusCode::OK);
    let (code, list, _) = run(&["token", "list", "--json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!((code, &list["tokens"][0]["name"], &list["tokens"][1]["tenant"]), (0, &json!("boss"), &json!("alpha")));
    let (_, table, _) = run(&["token", "list"]);
    assert!(table.contains("alpha") && table.contains("all (admin)") && !table.contains("ck_"), "{table}");
    let id = text(&list["tokens"][1], "id");
    assert_eq!(run(&["token", "revoke", &id]).0, 0);
    until(&t, secret.trim(), StatusCode::UNAUTHORIZED).await;
    let (code, _, words) = run(&["token", "revoke", "nothing"]);
    assert!(code == 1 && words.contains("token list"), "{words}");
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_nowhere_but_in_the_answer_that_made_it() {
    let t = TestApp::start().await;
    let made = token(&t, json!({"name": "web", "tenant": "alpha"})).await;
    let secret = text(&made, "token");
    assert_eq!(status(&t, &secret).await, StatusCode::OK);
    let listed = t.api("/api/v1/tokens").await.to_string();
    assert!(!listed.contains("ck_") && listed.contains("web"), "{listed}");
    let tokens: Vec<TokenInfo> = t.app.catalog.tokens(None, 9).await.unwrap();
    assert_eq!(tokens.len(), 1);
    let (_, data) = t.stop().await;
    for entry in data.path().read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds the token", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_a_token_is_checked() {
    let t = TestApp::start().await;
    let post = |body: Value| t.client.post(format!("{}/api/v1/tokens", t.url)).bearer_auth(&t.token).json(&body).send();
    for bad in [
        json!({"name": "x"}),
        json!({"name": "x", "tenant": "a", "admin": true}),
        json!({"name": "", "admin": true}),
        json!({"name": "x", "tenant": "no spaces"}),
        json!({"name": "x", "admin": true, "more": 1}),
    ] {
        assert_eq!(post(bad.clone()).await.unwrap().status(), StatusCode::BAD_REQUEST, "{bad}");
    }
    for id in ["unknown", "a%00b", "%C3%A9"] {
        let delete = t.client.delete(format!("{}/api/v1/tokens/{id}", t.url)).bearer_auth(&t.token);
        assert_eq!(delete.send().await.unwrap().status(), StatusCode::NOT_FOUND, "{id}");
    }
    t.stop().await;
}
