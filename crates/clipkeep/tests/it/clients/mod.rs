//! fal's own clients, unmodified, as apps use them: `@fal-ai/client` of npm and
//! `fal-client` of PyPI. First against the simulator alone, which shows that it
//! is one fal to them; then through us.

mod alone;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use fal_sim::{Sim, SimOptions};
use serde_json::Value;
use tokio::process::Command;

use crate::support::tls::Front;

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
    let options = SimOptions {
        key: Some(FAL_KEY.to_owned()),
        queue_time: Duration::from_millis(150),
        run_time: Duration::from_millis(150),
        ..SimOptions::default()
    };
    Sim::start(options).await.unwrap()
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
