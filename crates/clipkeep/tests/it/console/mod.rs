//! The console and the watch page: driven by a real Chromium as a person would,
//! and asked by programs as nobody should.

mod guarded;
mod watch;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use bytes::Bytes;
use clipkeep_core::{generation::Poster, state::ClipState};
use fal_sim::{Fault, Faults, Media};
use reqwest::{Client, Response, redirect::Policy};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{
    app::TestApp,
    eventually::PATIENCE,
    receiver::{Receiver, Reply},
};

/// What somebody might write to have it run in others' browsers.
const EVIL: &str = "</title><script>window.evil=1</script>\"'><img/src=x/onerror=window.evil=1>";

fn tools() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/console");
    assert!(
        tools.join("node_modules/axe-core").exists(),
        "Playwright and axe are missing: run ./test once, it installs them"
    );
    tools.canonicalize().unwrap()
}

/// Runs a script against `url`, and fails with all that it found wrong.
async fn run(script: &str, url: &str, told: &Value) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut node = Command::new("node");
    node.arg(here.join("tests/it/console").join(script)).env("CONSOLE_TOOLS", tools()).env("CONSOLE_URL", url);
    node.env("CONSOLE_TOLD", told.to_string()).env("CONSOLE_SHOTS", here.join("../../target/console"));
    let ran = node.stdin(Stdio::null()).kill_on_drop(true).output();
    let ran = tokio::time::timeout(PATIENCE * 3, ran).await.expect("the script ends").unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let found: Value =
        serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&ran.stderr)));
    let wrong: Vec<_> = found["wrong"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert!(wrong.is_empty(), "{script}:\n{}", wrong.join("\n"));
}

/// A node with something in every room.
struct Furnished {
    t: TestApp,
    _receiver: Receiver,
}

const CLIPS: usize = 70;
/// Those that have a picture.
const DRAWN: usize = 12;
const GLB: &[u8] = b"glTF\x02\0\0\0\x14\0\0\0\0\0\0\0JSON";

impl Furnished {
    async fn new() -> Self {
        let receiver = Receiver::start().await;
        receiver.answer(|got| {
            let is_lost = got.json()["data"]["key"].as_str().is_some_and(|key| key.starts_with("lost"));
            Reply::Status(if is_lost { 410 } else { 200 })
        });
        let t = TestApp::with(&[
            ("ffmpeg", "ffmpeg".to_owned()),
            ("event_endpoints", receiver.url.clone()),
            ("not_found_attempts", "2".to_owned()),
            ("budgets", "all:0.0000001@aws-s3-standard".to_owned()),
        ])
        .await;
        let source = t.sim.add_file("a.mp4", Media::named("moov-last.mp4"));
        // Most have nothing to be drawn: that takes a processor's time for each.
        let shape = t.sim.add_file("a.glb", Media::new("model/gltf-binary", GLB.into()));
        for nth in 0..CLIPS {
            let (tenant, prompt) = match nth {
                0 => ("alpha", "portrait+of+a+violinist+in+candle+light"),
                1 => ("beta", "a+paper+boat"),
                _ => ("alpha", "a+red+fox+crosses+a+frozen+lake"),
            };
            let query = format!("?tenant={tenant}&model=fal-ai/model-{}&prompt={prompt}+{nth}", nth % 9);
            let source = if nth < DRAWN { &source } else { &shape };
            assert_eq!(t.hook(&format!("clip-{nth}"), source, &query).await.status(), 200);
        }
        let mut evil = url::form_urlencoded::Serializer::new(String::new());
        let evil = evil.append_pair("prompt", EVIL).append_pair("model", EVIL).append_pair("tenant", "alpha").finish();
        assert_eq!(t.hook("evil", &source, &format!("?{evil}")).await.status(), 200);
        let gone = t.sim.add_faulty_file("gone.mp4", Media::named("silent.mp4"), Faults::always(Fault::status(404)));
        t.hook("lost-1", &gone, "?tenant=alpha&prompt=what+was+lost").await;
        let failing = t.sim.add_faulty_file("f.mp4", Media::named("silent.mp4"), Faults::always(Fault::status(500)));
        t.hook("failing", &failing, "?tenant=alpha&prompt=what+fails").await;
        let slow = Faults::always(Fault { no_ranges: true, ..Fault::rate(40_000) });
        let slow = t.sim.add_faulty_file("slow.mp4", Media::padded_slow_start(60_000_000, 1), slow);
        t.hook("slow", &slow, "?tenant=alpha&prompt=what+takes+long").await;
        for nth in 0..CLIPS {
            let ending = if nth < DRAWN { "mp4" } else { "glb" };
            t.until(&format!("clip-{nth}.{ending}"), ClipState::Stored).await;
        }
        t.until("evil.mp4", ClipState::Stored).await;
        t.until("lost-1.mp4", ClipState::Lost).await;
        let this = Self { t, _receiver: receiver };
        this.until_drawn().await;
        this.until_parked().await;
        assert_eq!(this.t.client.get(this.t.link("clip-0.mp4")).send().await.unwrap().status(), 200);
        this.t.app.usage.flush().await;
        this
    }

    async fn until_drawn(&self) {
        let began = tokio::time::Instant::now();
        loop {
            let clips = self.t.app.catalog.clips(&Default::default(), None, 1000).await.unwrap().clips;
            let is_open = |clip: &&clipkeep_core::generation::Clip| {
                clip.state == ClipState::Stored && clip.poster == Poster::Untried
            };
            if !clips.iter().any(|clip| is_open(&clip)) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "posters are missing");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn until_parked(&self) {
        let began = tokio::time::Instant::now();
        while self.t.app.catalog.parked_deliveries(10).await.unwrap().is_empty() {
            assert!(began.elapsed() < PATIENCE, "nothing is parked");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn told(&self) -> Value {
        let row = self.t.api("/api/v1/clips/clip-0.mp4").await;
        json!({
            "token": self.t.token, "key": "clip-0.mp4", "sha256": row["sha256"], "doomed": "clip-5.mp4",
            "evil": "evil.mp4", "failed": "what was lost", "clips": CLIPS + 4, "page": 60, "beta": 1,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_room_is_used_as_a_person_would() {
    let furnished = Furnished::new().await;
    let told = furnished.told().await;
    run("plain.mjs", &furnished.t.url, &told).await;
    run("rooms.mjs", &furnished.t.url, &told).await;
    furnished.t.stop().await;
}

/// A browser without a window: it keeps no cookies of its own, and follows nothing.
fn visitor() -> Client {
    Client::builder().no_proxy().redirect(Policy::none()).build().unwrap()
}

/// Sends a form, with these cookies.
async fn post(client: &Client, url: &str, cookie: Option<&str>, fields: &[(&str, &str)]) -> Response {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = client.post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
    let request = cookie.into_iter().fold(request, |request, cookie| request.header("cookie", cookie));
    request.send().await.unwrap()
}

async fn page(client: &Client, url: &str, cookie: &str) -> Response {
    client.get(url).header("cookie", cookie).send().await.unwrap()
}

/// The cookie that an answer sets: name and value.
fn cookie_of(answer: &Response) -> String {
    let set = answer.headers()["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

/// Logs in; answers the cookie.
async fn log_in(client: &Client, url: &str, token: &str) -> String {
    let answer = post(client, &format!("{url}/login"), None, &[("token", token)]).await;
    assert_eq!(answer.status(), 303);
    cookie_of(&answer)
}

/// What a page's forms carry.
async fn csrf(client: &Client, url: &str, cookie: &str) -> String {
    let text = page(client, url, cookie).await.text().await.unwrap();
    let after = text.split("name=\"csrf\" value=\"").nth(1).unwrap_or_else(|| panic!("no form in {text}"));
    after.split('"').next().unwrap().to_owned()
}

/// A small video.
fn video() -> Bytes {
    let media = Media::named("moov-first.mp4");
    media.chunk(0..media.len())
}
