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

/// What a schema cannot say: an answer of 400 to what the document allows is
/// right where a cursor is not one of ours or fields contradict each other, and
/// 410 where a clip is over.
const BEYOND_SCHEMAS: &str = r#"
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "410"]

# oEmbed wants this for a format that is not spoken.
[[operations]]
include-name = "GET /oembed"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "501"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "403", "404", "410", "501"]

# What is passed on is fal's to judge.
[[operations]]
include-name = ["GET /fal/proxy", "POST /fal/proxy", "PUT /fal/proxy"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "404", "405", "412", "415"]
checks.negative_data_rejection.expected-statuses = ["400", "401", "404", "405", "412", "413", "415"]

[[operations]]
include-name = ["GET /api/v1/clips", "GET /api/v1/clips/export", "GET /api/v1/clips/duplicates", "GET /api/v1/tokens", "POST /api/v1/generations", "POST /api/v1/tokens", "POST /api/v1/clips/{key}/links", "POST /api/v1/links/revoke", "GET /api/v1/usage", "GET /api/v1/costs"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "410"]
"#;

/// Calls that are about rows that are there.
const KNOWN_ROWS: &str = r#"
[parameters]
"path.key" = "stored.mp4"
"path.request_id" = "stored"

[[operations]]
include-name = "GET /v/{key}"
parameters."path.key" = "public.mp4"
checks.positive_data_acceptance.expected-statuses = ["2xx", "304", "403", "412", "416"]
# Half a link is none, and a public clip needs none.
checks.negative_data_rejection.expected-statuses = ["2xx", "304", "400", "403", "404", "412", "416"]

[[operations]]
include-name = "DELETE /api/v1/clips/{key}"
parameters."path.key" = "waiting.mp4"
"#;

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
    let secret = "whsec_bHVtYSBzaWducyB3aXRoIHRoaXMgc2VjcmV0IQ==";
    settings.extend([("not_found_attempts", "1".to_owned()), ("lost_after", "1s".to_owned())]);
    settings.extend(["replicate_webhook_secret", "standard_webhook_secrets"].map(|key| (key, secret.to_owned())));
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
    let output = run(&t, &token, BEYOND_SCHEMAS).await;
    assert!(output.status.success(), "{}", says(&output));
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_gets_what_the_document_says() {
    let (t, token) = node(&[("database", postgres::database().await)]).await;
    let output = run(&t, &token, &format!("{BEYOND_SCHEMAS}{KNOWN_ROWS}")).await;
    assert!(output.status.success(), "{}", says(&output));
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_answers_as_it_is_documented() {
    let (t, token) = node(&[]).await;
    let document: Value = t.client.get(format!("{}/openapi.json", t.url)).send().await.unwrap().json().await.unwrap();
    let documented = &document["paths"]["/api/v1/events"]["get"]["responses"];
    let url = format!("{}/api/v1/events", t.url);
    for (query, token, expected) in [
        ("", token.as_str(), "200"),
        ("?after=0-0", &t.token, "200"),
        ("?after=nonsense", &token, "400"),
        ("?befor=0-0", &token, "400"),
        ("?after=0-999", &token, "409"),
        ("", "nonsense", "401"),
    ] {
        let answer = t.client.get(format!("{url}{query}")).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status().as_str(), expected, "{query}");
        let kind = answer.headers()["content-type"].to_str().unwrap();
        assert!(documented[expected]["content"][kind].is_object(), "{query}: {kind} is not in {documented}");
    }
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_database_can_hold_is_refused_in_words() {
    let (t, _) = node(&[("database", postgres::database().await)]).await;
    for (path, expected) in [
        ("/api/v1/clips?model=%00", 400),
        ("/api/v1/clips?prompt_hash=%00", 400),
        ("/api/v1/clips?prompt=%00", 200),
        ("/api/v1/tokens?cursor=%00", 400),
        ("/api/v1/clips/%00.mp4", 404),
        ("/api/v1/clips/%ff.mp4", 404),
        ("/api/v1/generations/%C3", 404),
    ] {
        let answer = t.client.get(format!("{}{path}", t.url)).bearer_auth(&t.token).send().await.unwrap();
        assert_eq!(answer.status(), expected, "{path}");
        let kind = answer.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind == "application/problem+json", expected != 200, "{path}: {kind}");
    }
    t.stop().await;
}
