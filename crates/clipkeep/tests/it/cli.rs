//! The commands, as a person types them; and the API's manners.

use std::{path::Path, process::Command};

use clipkeep_core::state::ClipState;
use fal_sim::{Media, Sim, SimOptions};
use serde_json::{Value, json};

use crate::support::{
    app::{TestApp, own_settings},
    postgres,
};

/// Runs a command on this data folder: exit code, output, errors.
pub(crate) fn clipkeep(sim: &Sim, data: &Path, args: &[&str], more: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipkeep"));
    command.args(args).env_clear();
    for (name, value) in own_settings(sim, "http://127.0.0.1:1", data, "test-admin-token-0123456789") {
        command.env(format!("CLIPKEEP_{}", name.to_uppercase()), value);
    }
    let out = command.envs(more.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn find_link_and_token_answer_beside_a_running_node() {
    let t = TestApp::start().await;
    let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    t.hook("g1", &source, "?model=m1&prompt=a%20fox").await;
    t.hook("g2", &source, "").await;
    t.until("g1.mp4", ClipState::Stored).await;
    t.until("g2.mp4", ClipState::Stored).await;
    let run = |args: &[&str]| clipkeep(&t.sim, t.data.path(), args, &[]);
    for args in [&["find", "g1.mp4"][..], &["find", "--prompt", "a fox"], &["find", "g1"], &["find", "--model", "m1"]] {
        let (code, out, _) = run(args);
        assert_eq!(code, 0, "{args:?}");
        assert!(out.contains("g1.mp4") && out.contains("a fox"), "{args:?}: {out}");
    }
    assert_eq!(run(&["find", "--prompt", "nobody said this"]).0, 1);
    let (code, none, _) = run(&["find", "--prompt", "nobody said this", "--json"]);
    assert_eq!((code, none.trim()), (1, r#"{"clips":[]}"#));
    let found: Value = serde_json::from_str(&run(&["find", "g1.mp4", "--json"]).1).unwrap();
    assert_eq!(found["clips"][0]["prompt"], "a fox");
    // A key goes with filters, and what is left out is told of.
    assert_eq!(run(&["find", "g1.mp4", "--model", "m1", "--created-after", "2020-01"]).0, 0);
    assert_eq!(run(&["find", "g1.mp4", "--model", "m2"]).0, 1);
    let file = t.data.path().join("one.jsonl");
    assert_eq!(run(&["find", "g1.mp4", "--export", file.to_str().unwrap()]).0, 0);
    assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), 1);
    let (code, out, note) = run(&["find", "--limit", "1"]);
    assert!(code == 0 && out.contains("g2.mp4") && !out.contains("g1.mp4") && note.contains("more than"), "{note}");
    assert!(run(&["find", "--limit", "1", "--json"]).1.contains(r#""is_cut":true"#));
    let (code, _, errors) = run(&["find", "--created-after", "2026-02", "--created-before", "2026-01"]);
    assert!(code == 2 && errors.contains("must be later"), "{errors}");
    let (_, link, note) = run(&["link", "g1.mp4", "--expires-in", "2h"]);
    assert_eq!(note, "");
    t.client.delete(format!("{}/api/v1/clips/g2.mp4", t.url)).bearer_auth(&t.token).send().await.unwrap();
    for (key, words) in [("g2.mp4", "is deleted"), ("later.mp4", "is not known yet")] {
        let (code, link, note) = run(&["link", key]);
        assert!(code == 0 && link.contains(&format!("/v/{key}?")), "{key}: {link}");
        assert!(note.starts_with("note: ") && note.contains(words), "{key}: {note}");
    }
    let path = link.trim().strip_prefix("http://127.0.0.1:1").unwrap().to_owned();
    assert_eq!(t.client.get(format!("{}{path}", t.url)).send().await.unwrap().status(), 200);
    assert_eq!(run(&["token"]).1.trim(), "test-admin-token-0123456789");
    assert_eq!(run(&["link", "not a key"]).0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_what_is_wrong_and_says_how_to_mend_it() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let run = |more: &[(&str, &str)]| clipkeep(&sim, dir.path(), &["doctor", "--json"], more);
    let (code, out, errors) = run(&[]);
    assert_eq!(code, 0, "{out} {errors}");
    let aws = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")];
    for (check, more) in [
        ("database", vec![("CLIPKEEP_DATABASE", "postgres://nobody@127.0.0.1:1/x")]),
        ("jwks", vec![("CLIPKEEP_FAL_JWKS_URL", "http://127.0.0.1:1/keys")]),
        ("store", [&aws[..], &[("CLIPKEEP_STORE", "s3://bucket/x")]].concat()),
        ("prices", vec![("CLIPKEEP_PRICE_LISTS", "nope.toml")]),
        ("prices", vec![("CLIPKEEP_BUDGETS", "all:5@nowhere")]),
        ("links", vec![("CLIPKEEP_INTERNAL_LINK_KEYS", "i-1:AAECAwQFBgcICQoLDA0ODw")]),
    ] {
        if check == "links" {
            assert_eq!(clipkeep(&sim, dir.path(), &["link", "--revoke-kid", "i-1"], &more).0, 0);
        }
        let (code, out, _) = run(&more);
        assert_eq!(code, 1, "{check}");
        let report: Value = serde_json::from_str(&out).unwrap();
        let failed = report["checks"].as_array().unwrap().iter().find(|c| c["ok"] == false).unwrap().clone();
        assert_eq!(failed["check"], check);
        assert!(failed["hint"].is_string());
    }
    let (code, _, errors) = run(&[("CLIPKEEP_LISTN", "x")]);
    assert_eq!(code, 64);
    assert!(errors.contains("CLIPKEEP_LISTEN"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_problems_and_pages() {
    let t = TestApp::start().await;
    let get = |path: &str, token: &str| t.client.get(format!("{}{path}", t.url)).bearer_auth(token).send();
    for (path, token, status) in [
        ("/api/v1/clips", "wrong", 401),
        ("/api/v1/clips/nope.mp4", t.token.as_str(), 404),
        ("/api/v1/clips/..%2f..", t.token.as_str(), 404),
        ("/api/v1/clips?state=happy", t.token.as_str(), 400),
        ("/api/v1/clips?limit=0", t.token.as_str(), 400),
        ("/api/v1/clips?cursor=%25", t.token.as_str(), 400),
        ("/api/v1/clips?colour=red", t.token.as_str(), 400),
        ("/api/v1/generations/nope", t.token.as_str(), 404),
        ("/nowhere", t.token.as_str(), 404),
    ] {
        let answer = get(path, token).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["status"], status, "{path}");
        assert!(problem["code"].is_string() && problem["title"].is_string(), "{path}");
    }
    for number in 0..5 {
        let payload =
            json!({"images": [{"url": format!("http://127.0.0.1:9/{number}.png"), "content_type": "image/png"}]});
        t.hook_payload(&format!("g{number}"), &payload, "?policy=on_demand&tenant=acme").await;
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/clips?tenant=acme&limit=2".to_owned();
    loop {
        let page = t.api(&path).await;
        seen.extend(page["clips"].as_array().unwrap().iter().map(|clip| clip["key"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/clips?tenant=acme&limit=2&cursor={cursor}");
    }
    seen.sort();
    assert_eq!(seen, ["g0.png", "g1.png", "g2.png", "g3.png", "g4.png"]);
    let link = |body: Value| {
        t.client.post(format!("{}/api/v1/clips/g0.png/links", t.url)).bearer_auth(&t.token).json(&body).send()
    };
    for (body, status) in [
        (json!({}), 201),
        (json!({"expires_in": 60}), 201),
        (json!({"expires_in": "2h", "audience": "public", "download": "x.png"}), 201),
        (json!({"expires_in": "900d"}), 400),
        (json!({"audience": "internal"}), 201),
        (json!({"audience": "internal", "expires_in": "25h"}), 400),
        (json!({"audience": "nobody"}), 400),
        (json!({"what": 1}), 400),
    ] {
        assert_eq!(link(body.clone()).await.unwrap().status().as_u16(), status, "{body}");
    }
    for odd in [json!(-1), json!([]), json!(1.5)] {
        let said: Value = link(json!({ "expires_in": odd })).await.unwrap().json().await.unwrap();
        assert!(said["detail"].as_str().unwrap().contains("a number of seconds, or text such as 24h"), "{said}");
    }
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(get(path, "").await.unwrap().status(), 200, "{path}");
    }
    assert!(get("/metrics", "").await.unwrap().text().await.unwrap().contains("clipkeep_hooks_total"));
    let document: Value = get("/openapi.json", "").await.unwrap().json().await.unwrap();
    for path in ["/hooks/fal", "/v/{key}", "/api/v1/generations", "/api/v1/clips/{key}/links"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}

/// In an empty folder, with nothing configured but this.
fn in_a_wrong_place(args: &[&str], env: &[(&str, &str)]) -> (i32, String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipkeep"));
    let out = command.args(args).current_dir(folder.path()).env_clear().envs(env.iter().copied()).output().unwrap();
    let left = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    (out.status.code().unwrap(), String::from_utf8(out.stderr).unwrap(), left.collect())
}

#[test]
fn commands_that_read_make_nothing_in_a_wrong_place() {
    let hint = "error: there is no data folder ./clipkeep-data; hint: start `clipkeep serve` once, or name another with \
        --data or --config\n";
    for args in [
        &["find"][..],
        &["explain", "a.mp4"],
        &["token"],
        &["link", "a.mp4"],
        &["verify", "--all"],
        &["events"],
        &["events", "parked"],
        &["events", "secret"],
        &["sweep"],
        &["sweep", "--dry-run"],
    ] {
        assert_eq!(in_a_wrong_place(args, &[]), (1, hint.to_owned(), vec![]), "{args:?}");
    }
    // What is configured needs no folder.
    let token = ("CLIPKEEP_ADMIN_TOKEN", "test-admin-token-0123456789");
    assert_eq!(in_a_wrong_place(&["token"], &[token]), (0, String::new(), vec![]));
    let keys = ("CLIPKEEP_LINK_KEYS", "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    assert_eq!(in_a_wrong_place(&["link", "a.mp4"], &[keys]), (0, String::new(), vec![]));
    let (code, _, left) = in_a_wrong_place(&["find"], &[("CLIPKEEP_DATABASE", "sqlite://./other.db")]);
    assert!(code == 1 && left.contains(&"other.db".to_owned()), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_makes_no_catalogue_in_an_empty_database() {
    let url = postgres::database().await;
    let keys = ("CLIPKEEP_LINK_KEYS", "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    assert_eq!(in_a_wrong_place(&["link", "a.mp4", "--database", &url], &[keys]), (0, String::new(), vec![]));
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(postgres::connect(&url).await.query_one(tables, &[]).await.unwrap().get::<_, i64>(0), 0);
    assert_eq!(in_a_wrong_place(&["find", "--database", &url], &[]).0, 1, "that one makes it");
    let (code, note, _) = in_a_wrong_place(&["link", "a.mp4", "--database", &url], &[keys]);
    assert_eq!((code, note.as_str()), (0, "note: a.mp4 is not known yet: the link works once the clip comes\n"));
}

#[test]
fn h42_what_is_wrong_or_not_there_is_named_with_the_reason() {
    let (code, errors, _) = in_a_wrong_place(&["find", "--config", "nope.toml"], &[]);
    assert_eq!((code, errors.as_str()), (64, "error: reading nope.toml: No such file or directory (os error 2)\n"));
    // Whoever needs them or not: a wrong key is a wrong configuration.
    let keys = [("CLIPKEEP_LINK_KEYS", "k1:c2VjcmV0"), ("CLIPKEEP_POLICY", "never")];
    for args in [&["serve"][..], &["find"], &["link", "a.mp4"]] {
        let (code, errors, _) = in_a_wrong_place(args, &keys);
        let told = errors.contains("link key number 1 must be at least") && errors.contains("CLIPKEEP_POLICY");
        assert!(code == 64 && told && !errors.contains("c2VjcmV0"), "{args:?}: {errors}");
    }
    let (code, errors, _) = in_a_wrong_place(&["find", "--database", "sqlite:///proc/nope/x.db"], &[]);
    assert!(code == 1 && errors.contains("/proc/nope/x.db: No such file"), "{errors}");
    let (code, errors, _) = in_a_wrong_place(&["find", "--database", "sqlite:///proc/x.db"], &[]);
    assert!(code == 1 && errors.contains("/proc/x.db: "), "{errors}");
}
