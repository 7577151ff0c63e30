//! The examples of docs/signing.md, run as they stand there: what they sign is
//! what the vectors say, and a running node serves it.

use std::{path::Path, process::Command};

use clipkeep_core::state::ClipState;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use fal_sim::Media;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::app::TestApp;

#[expect(unreachable_pub, reason = "it stands there as an app would write it")]
mod example {
    include!("../../../../docs/sign.rs");
}

const DOCUMENT: &str = include_str!("../../../../docs/signing.md");

/// What is to be signed.
struct Wanted<'a> {
    path: &'a str,
    expires: u64,
    kid: &'a str,
    key: &'a str,
    download: &'a str,
}

/// The example in this language, as it stands there.
fn example_in(language: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(&format!("```{language}\n")).expect(language);
    rest.split_once("```").unwrap().0
}

fn written() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (language, file) in [("js", "sign.mjs"), ("python", "sign.py")] {
        std::fs::write(dir.path().join(file), example_in(language)).unwrap();
    }
    dir
}

/// The query string that a language's example makes.
fn sign(language: &str, dir: &Path, wanted: &Wanted<'_>) -> String {
    let Wanted { path, expires, kid, key, download } = *wanted;
    if language == "Rust" {
        let decoded = BASE64.decode(key.as_bytes()).or_else(|_| BASE64URL_NOPAD.decode(key.as_bytes())).unwrap();
        return example::sign(path, expires, kid, &decoded, download);
    }
    let (program, file) = if language == "JavaScript" { ("node", "sign.mjs") } else { ("python3", "sign.py") };
    let mut command = Command::new(program);
    command.arg(dir.join(file)).args([path, &expires.to_string(), kid, key]);
    if !download.is_empty() {
        command.arg(download);
    }
    let out = command.output().expect(program);
    assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

const LANGUAGES: [&str; 3] = ["JavaScript", "Python", "Rust"];

#[test]
fn the_example_in_rust_is_the_one_that_is_compiled() {
    assert_eq!(example_in("rust"), include_str!("../../../../docs/sign.rs"));
}

#[test]
fn the_examples_sign_what_the_vectors_say() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../../../../docs/signing-vectors.json")).unwrap();
    assert!(vectors.len() >= 5);
    let dir = written();
    for vector in &vectors {
        let text = |name: &str| vector[name].as_str().unwrap();
        let (path, kid, key, download) = (text("path"), text("kid"), text("key"), text("download"));
        let wanted = Wanted { path, expires: vector["expires"].as_u64().unwrap(), kid, key, download };
        for language in LANGUAGES {
            let query = sign(language, dir.path(), &wanted);
            assert!(query.ends_with(&format!("&signature={}", text("signature"))), "{language}: {query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_the_documented_examples_sign_play() {
    let t = TestApp::start().await;
    t.hook("c", &t.sim.add_file("a.mp4", Media::named("silent.mp4")), "").await;
    t.until("c.mp4", ClipState::Stored).await;
    let dir = written();
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    for download in ["", "雨 の東京 100%+1.mp4"] {
        let wanted = Wanted { path: "/v/c.mp4", expires: 4_000_000_000, kid: "k1", key, download };
        for language in LANGUAGES {
            let query = sign(language, dir.path(), &wanted);
            let answer = t.client.get(format!("{}/v/c.mp4?{query}", t.url)).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{language}: {query}");
            assert_eq!(answer.headers().contains_key("content-disposition"), !download.is_empty(), "{language}");
            let altered = query.replace("expires=4", "expires=3");
            let answer = t.client.get(format!("{}/v/c.mp4?{altered}", t.url)).send().await.unwrap();
            assert_eq!(answer.status(), 403, "{language}: {altered}");
        }
    }
}
