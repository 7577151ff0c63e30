//! fal's own clients, unmodified, as apps use them: `@fal-ai/client` of npm and
//! `fal-client` of PyPI. First against the simulator alone, which shows that it
//! is one fal to them; then through us.

mod alone;
mod gateway;
mod large;
mod outage;
mod proxy;
mod shapes;
mod told;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use clipkeep_core::{prompt::prompt_hash, state::ClipState};
use fal_sim::{Call, Sim, SimOptions};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{app::TestApp, tls::Front};

/// What the simulated fal wants to be shown.
const FAL_KEY: &str = "fal-key-id:fal-key-secret";
/// Longer than any scenario takes.
const LONG: Duration = Duration::from_secs(120);

/// The clients, as `./test` installs them.
fn tools() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/fal-clients");
    let there = tools.join("node_modules/@fal-ai/client").exists() && tools.join("python/bin/python").exists();
    assert!(there, "fal's clients are missing: run ./test once, it installs them");
    tools.canonicalize().unwrap()
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients").join(name)
}

/// A simulator that wants its key, and takes a while over each job.
async fn simulator() -> Sim {
    simulator_that_takes(Duration::from_millis(150)).await
}

async fn simulator_that_takes(run_time: Duration) -> Sim {
    // Long enough to cancel in, however slow the machine.
    let queue_time = Duration::from_millis(400);
    let options = SimOptions { key: Some(FAL_KEY.to_owned()), queue_time, run_time, ..SimOptions::default() };
    Sim::start(options).await.unwrap()
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

/// The settings of a node that calls `sim` for its apps.
fn settings(sim: &Sim) -> Vec<(&'static str, String)> {
    vec![
        ("fal_key", FAL_KEY.to_owned()),
        ("fal_run_url", sim.run_url()),
        ("fal_rest_url", sim.rest_url()),
        ("sweep_interval", "20ms".to_owned()),
    ]
}

/// A node, and `more` of its settings.
async fn node(more: &[(&'static str, &str)]) -> TestApp {
    let sim = simulator().await;
    let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let settings: Vec<_> = settings(&sim).into_iter().chain(more).collect();
    TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &settings, &[]).await
}

/// What apps generate in these tests.
fn given(model: &str) -> Value {
    json!({"model": model, "input": {"prompt": " a red fox, caf\u{e9} ", "seed": 77, "num_frames": 81}})
}

/// The app was given a URL of ours, which plays; and the rows say what made it.
async fn assert_kept(t: &TestApp, url: &str, model: &str, tenant: Option<&str>) {
    let key = url.strip_prefix(&format!("{}/v/", t.url)).unwrap_or_else(|| panic!("{url} is not ours"));
    let key = key.split('?').next().unwrap();
    let first = t.client.get(url).header("range", "bytes=0-99").send().await.unwrap();
    assert_eq!(first.status(), StatusCode::PARTIAL_CONTENT);
    let whole = t.client.get(url).send().await.unwrap();
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(whole.bytes().await.unwrap()[..100], first.bytes().await.unwrap());

    let clip = t.until(key, ClipState::Stored).await;
    let source = clip.source_url.expose();
    let media = t.sim.media(source).unwrap_or_else(|| panic!("{key} has another source than the simulator's"));
    let row = t.api(&format!("/api/v1/clips/{key}")).await;
    assert_eq!((text(&row, "/sha256"), text(&row, "/model")), (media.sha256().as_str(), model));
    let prompt = given("")["input"]["prompt"].as_str().unwrap().to_owned();
    assert_eq!((text(&row, "/prompt"), text(&row, "/prompt_hash")), (prompt.as_str(), prompt_hash(&prompt).as_str()));
    assert_eq!((&row["input"], &row["seed"]), (&given("")["input"], &json!(77)));
    assert_eq!(row["tenant"].as_str(), tenant);
}

/// No call at fal held what is for us alone, and each held our key.
fn assert_forwarded(calls: &[Call], token: &str) {
    for call in calls.iter().filter(|call| !call.path.starts_with("/upload/")) {
        let is_ours = |name: &str, value: &str| {
            ["x-fal-target-url", "x-clipkeep-tenant", "cookie"].contains(&name) || value.contains(token)
        };
        let ours: Vec<_> = call.headers.iter().filter(|(name, value)| is_ours(name, value)).collect();
        assert!(ours.is_empty(), "{} {}: {ours:?}", call.method, call.path);
        let with_token = call.query.contains("fal_jwt_token=");
        let key = call.header("authorization").map(str::to_owned);
        assert!(with_token || key == Some(format!("Key {FAL_KEY}")), "{} {}: {key:?}", call.method, call.path);
    }
}

/// Nothing that the app saw says where the source is.
fn assert_no_source(t: &TestApp, seen: &Value) {
    assert!(!seen.to_string().contains(&t.sim.media_url()), "{seen}");
}

/// An app: a client with its settings.
struct App {
    program: PathBuf,
    script: PathBuf,
    env: Vec<(&'static str, String)>,
}

impl App {
    /// In JavaScript. Where it calls fal itself it reaches `sim`.
    fn js(sim: &Sim, token: &str) -> Self {
        let env = vec![
            ("FAL_CLIENTS", tools().display().to_string()),
            ("FAL_HOST_URL", sim.base_url()),
            ("ACCESS_TOKEN", token.to_owned()),
        ];
        Self { program: "node".into(), script: script("app.mjs"), env }
    }

    /// In Python. What it takes for fal is behind `front`.
    fn python(front: &Front, token: &str) -> Self {
        let env = vec![
            ("FAL_RUN_HOST", format!("localhost:{}", front.port)),
            ("FAL_KEY", token.to_owned()),
            ("SSL_CERT_FILE", front.certificate.display().to_string()),
        ];
        Self { program: tools().join("python/bin/python"), script: script("app.py"), env }
    }

    /// In JavaScript, told of our proxy.
    fn js_by_proxy(t: &TestApp) -> Self {
        Self::js(&t.sim, &t.token).set("PROXY_URL", format!("{}/fal/proxy", t.url))
    }

    fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Runs a scenario; what the app saw.
    async fn run(&self, scenario: &str, given: &Value) -> Value {
        let mut command = Command::new(&self.program);
        command.arg(&self.script).arg(scenario).arg(given.to_string());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let done = tokio::time::timeout(LONG, command.output()).await;
        let output = done.unwrap_or_else(|_| panic!("{scenario} takes too long")).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{scenario}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{scenario}: {error}: {errors}"))
    }
}
