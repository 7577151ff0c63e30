//! The service's own document, held against it: `schemathesis` calls what the
//! document names, as it says and as it does not, and judges each answer.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use clipkeep_core::state::ClipState;
use fal_sim::Media;
use serde_json::{Value, json};

use crate::support::{app::TestApp, postgres};

/// What schemathesis must not judge, each with its reason.
const LEFT_OUT: &[(&str, &str)] = &[
    // A deleted clip's row stays, so that it can say so.
    ("--exclude-checks", "use_after_free,ensure_resource_availability"),
    // A stream has no end; `a_stream_answers_as_it_is_documented` is about it.
    ("--exclude-path", "/api/v1/events"),
];

/// `schemathesis`, as `./test` installs it.
fn schemathesis() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/schemathesis/bin/schemathesis");
    assert!(program.exists(), "schemathesis is missing: run ./test once, it installs it");
    program.canonicalize().unwrap()
}

/// Runs it against `url` with this token.
async fn run(t: &TestApp, token: &str, settings: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("schemathesis.toml"), settings).unwrap();
    let mut command = Command::new(schemathesis());
    command.current_dir(dir.path()).env("NO_PROXY", "127.0.0.1").args(["run", &format!("{}/openapi.json", t.url)]);
    command.args(["--header", &format!("Authorization: Bearer {token}"), "--seed", "20261125"]);
    command.args(["--max-examples", "20", "--generation-database", "none", "--no-color"]);
    command.args(["--checks", "all", "--continue-on-failure", "--request-timeout", "10"]);
    for (flag, value) in LEFT_OUT {
        command.args([flag, value]);
    }
    tokio::task::spawn_blocking(move || {
        let output = command.output().unwrap();
        drop(dir);
        output
    })
    .await
    .unwrap()
}

fn says(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A node with clips that are stored, waiting and lost, some of them a tenant's.
async fn node(settings: &[(&'static str, String)]) -> (TestApp, String) {
    let mut settings = settings.to_vec();
    settings.extend([("gone_attempts", "1".to_owned()), ("lost_after", "1s".to_owned())]);
    let t = TestApp::with(&settings).await;
    for (id, query, state) in [
        ("stored", "?tenant=acme&prompt=a%20fox&model=m", ClipState::Stored),
        ("public", "?public=true", ClipState::Stored),
        ("lost", "?tenant=acme", ClipState::Lost),
    ] {
        let gone = Media::named("silent.mp4");
        let source = t.sim.add_file(&format!("{id}.mp4"), gone);
        let source = if id == "lost" { format!("{source}.gone") } else { source };
        t.hook(id, &source, query).await;
        t.until(&format!("{id}.mp4"), state).await;
    }
    let source = t.sim.add_file("waiting.mp4", Media::named("silent.mp4"));
    t.hook("waiting", &source, "?policy=on_demand&tenant=acme").await;
    let request = t.client.post(format!("{}/api/v1/tokens", t.url)).bearer_auth(&t.token);
    let made: Value = request.json(&json!({"name": "x", "tenant": "acme"})).send().await.unwrap().json().await.unwrap();
    let tenants = made["token"].as_str().unwrap().to_owned();
    (t, tenants)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_gets_what_the_document_says() {
    let (t, _) = node(&[]).await;
    let token = t.token.clone();
    let output = run(&t, &token, "").await;
    assert!(output.status.success(), "{}", says(&output));
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_gets_what_the_document_says() {
    let (t, token) = node(&[("database", postgres::database().await)]).await;
    let output = run(&t, &token, "").await;
    assert!(output.status.success(), "{}", says(&output));
    t.stop().await;
}
