//! Receipts: what they say, that others can check them, and what is refused.

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Command, sync::Arc};

use clipkeep_core::{receipt::ReceiptKey, state::ClipState};
use data_encoding::BASE64URL_NOPAD;
use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use reqwest::Response;
use serde_json::{Value, json};

use crate::{
    cli::clipkeep,
    cold::all,
    support::{app::TestApp, garage},
};

async fn ask(t: &TestApp, key: &str, token: &str) -> Response {
    t.client.get(format!("{}/api/v1/clips/{key}/receipt", t.url)).bearer_auth(token).send().await.unwrap()
}

async fn keys(t: &TestApp) -> Value {
    let answer = t.client.get(format!("{}/.well-known/clipkeep-receipts.json", t.url)).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/jwk-set+json");
    answer.json().await.unwrap()
}

async fn store(t: &TestApp, id: &str, media: &Media, query: &str) -> Value {
    t.hook(id, &t.sim.add_file("a.mp4", media.clone()), query).await;
    t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    let answer = ask(t, &format!("{id}.mp4"), &t.token).await;
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

/// What was signed.
fn payload(receipt: &Value) -> Value {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(receipt["payload"].as_str().unwrap().as_bytes()).unwrap()).unwrap()
}

/// Runs the example of docs/receipts.md: what it read, if that is genuine.
fn by_node(dir: &Path, receipt: &Value, keys: &Value) -> Option<Value> {
    let (_, rest) = include_str!("../../../../docs/receipts.md").split_once("```js\n").unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    write("receipt.mjs", rest.split_once("```").unwrap().0);
    write("receipt.json", &receipt.to_string());
    write("keys.json", &keys.to_string());
    let mut command = Command::new("node");
    let out = command.args(["receipt.mjs", "receipt.json", "keys.json"]).current_dir(dir).output().unwrap();
    out.status.success().then(|| serde_json::from_slice(&out.stdout).unwrap())
}

/// Whether openssl says that the signature holds.
fn by_openssl(dir: &Path, receipt: &Value, keys: &Value) -> bool {
    let decode = |text: &Value| BASE64URL_NOPAD.decode(text.as_str().unwrap().as_bytes()).unwrap();
    // The SubjectPublicKeyInfo of an Ed25519 key, RFC 8410.
    let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    der.extend(decode(&keys["keys"][0]["x"]));
    let signed = format!("{}.{}", receipt["protected"].as_str().unwrap(), receipt["payload"].as_str().unwrap());
    std::fs::write(dir.join("key.der"), der).unwrap();
    std::fs::write(dir.join("signed"), signed).unwrap();
    std::fs::write(dir.join("signature"), decode(&receipt["signature"])).unwrap();
    let mut command = Command::new("openssl");
    command.args(["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key.der", "-rawin"]);
    command.args(["-in", "signed", "-sigfile", "signature"]).current_dir(dir).output().unwrap().status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_says_what_is_kept_and_others_can_check_it() {
    let t = TestApp::start().await;
    let media = Media::named("silent.mp4");
    let receipt = store(&t, "g", &media, "?tenant=acme").await;
    let (row, said) = (t.api("/api/v1/clips/g.mp4").await, payload(&receipt));
    assert_eq!(receipt["receipt"], said);
    for same in
        ["key", "request_id", "provider", "tenant", "sha256", "size", "content_type", "stored_at", "verified_at"]
    {
        assert_eq!(said[same], row[same], "{same}");
    }
    assert_eq!(said["sha256"], media.sha256());
    assert_eq!((&said["source_host"], &said["issuer"]), (&json!("127.0.0.1"), &json!(t.url)));
    assert_eq!(said["stored_in"], json!({"kind": "folder", "object": "g.mp4"}));
    let version = t.until("g.mp4", ClipState::Stored).await.version.unwrap();
    assert!(version.etag.is_some());
    assert_eq!(
        (&said["source_etag"], &said["source_last_modified"]),
        (&json!(version.etag), &json!(version.last_modified))
    );
    let history = t.api("/api/v1/clips/g.mp4/history").await;
    let sealed = history["history"].as_array().unwrap().iter().find(|line| line["event"] == "sealed").unwrap().clone();
    assert_eq!(said["fetched_at"], sealed["at"]);
    assert!(said["issued_at"].as_str() >= said["stored_at"].as_str());

    let (dir, keys) = (tempfile::tempdir().unwrap(), keys(&t).await);
    assert_eq!(by_node(dir.path(), &receipt, &keys), Some(said.clone()));
    assert!(by_openssl(dir.path(), &receipt, &keys));
    let mut altered = receipt.clone();
    let mut lie = said;
    lie["size"] = json!(1);
    altered["payload"] = json!(BASE64URL_NOPAD.encode(lie.to_string().as_bytes()));
    assert_eq!(by_node(dir.path(), &altered, &keys), None);
    assert!(!by_openssl(dir.path(), &altered, &keys));
}

/// Case 44: a receipt is given to third parties. `source_host` is the one
/// exception, which DESIGN names («from which host»): a name, no port, no path.
#[tokio::test(flavor = "multi_thread")]
async fn case_44_a_receipt_names_the_host_of_its_source_and_no_more() {
    let t = TestApp::start().await;
    let receipt = store(&t, "g", &Media::named("silent.mp4"), "").await;
    let source = t.until("g.mp4", ClipState::Stored).await.source_url.expose().to_owned();
    let (_, place) = source.split_once("://").unwrap();
    let (host_and_port, path) = place.split_once('/').unwrap();
    for text in [receipt.to_string(), payload(&receipt).to_string()] {
        assert!(!text.contains(host_and_port) && !text.contains(path) && !text.contains("/files/"), "{text}");
    }
    assert_eq!(payload(&receipt)["source_host"], "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_stored_clip_has_a_receipt_and_only_for_who_may_ask() {
    let t = TestApp::with(&[("not_found_attempts", "1".to_owned())]).await;
    store(&t, "stored", &Media::named("silent.mp4"), "").await;
    store(&t, "deleted", &Media::named("silent.mp4"), "").await;
    t.client.delete(format!("{}/api/v1/clips/deleted.mp4", t.url)).bearer_auth(&t.token).send().await.unwrap();
    let lost = t.sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(Fault::status(404)));
    t.hook("lost", &lost, "").await;
    t.until("lost.mp4", ClipState::Lost).await;
    t.hook("waiting", &t.sim.add_file("a.mp4", Media::named("silent.mp4")), "?policy=on_demand").await;
    for (key, status, code) in [
        ("deleted.mp4", 410, "gone"),
        ("lost.mp4", 410, "gone"),
        ("waiting.mp4", 409, "conflict"),
        ("unknown.mp4", 404, "not_found"),
        ("not a key", 404, "not_found"),
    ] {
        let answer = ask(&t, key, &t.token).await;
        assert_eq!(answer.status(), status, "{key}");
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], code, "{key}");
    }
    assert_eq!(ask(&t, "stored.mp4", "wrong").await.status(), 401);
    // A row of a damaged object tells when that was seen, and a refill is told of.
    t.app
        .catalog
        .verified(&"stored.mp4".parse().unwrap(), 1, clipkeep_core::time::Timestamp::from_secs(9))
        .await
        .unwrap();
    let verified: Value = ask(&t, "stored.mp4", &t.token).await.json().await.unwrap();
    assert_eq!(payload(&verified)["verified_at"], "1970-01-01T00:00:09.000Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_names_bucket_and_object_and_no_source_for_an_adopted_clip() {
    let place = garage::place();
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let t = TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &[("store", place.url())], &place.aws()).await;
    let receipt = store(&t, "g", &Media::named("silent.mp4"), "").await;
    let (bucket, prefix) =
        place.url().trim_start_matches("s3://").split_once('/').map(|(b, p)| (b.to_owned(), p.to_owned())).unwrap();
    let object = format!("{}/g.mp4", prefix.trim_matches('/'));
    assert_eq!(payload(&receipt)["stored_in"], json!({"kind": "bucket", "bucket": bucket, "object": object}));
    assert!(!receipt.to_string().contains(garage::ACCESS_KEY));
    crate::support::raw::Raw::bucket(&place).put("own.mp4", all(&Media::named("silent.mp4"))).await;
    t.register(&json!({"request_id": "own", "adopt": true})).await;
    t.until("own.mp4", ClipState::Stored).await;
    let own = payload(&ask(&t, "own.mp4", &t.token).await.json().await.unwrap());
    for absent in ["source_host", "source_etag", "source_last_modified"] {
        assert_eq!(own[absent], Value::Null, "{absent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_made_once_kept_secret_or_given() {
    let t = TestApp::start().await;
    let first = keys(&t).await;
    let path = t.data.path().join("receipt_key");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let secret = std::fs::read_to_string(&path).unwrap();
    assert!(!first.to_string().contains(secret.trim().trim_end_matches('=')));
    let (sim, data) = t.stop().await;
    let again = TestApp::on(sim.clone(), data, &[], &[]).await;
    assert_eq!(keys(&again).await, first);
    let given = || ("receipt_key", ReceiptKey::text(&[9; 32]));
    let nodes = [
        TestApp::on(sim.clone(), Arc::new(tempfile::tempdir().unwrap()), &[given()], &[]).await,
        TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &[given()], &[]).await,
    ];
    assert_eq!(keys(&nodes[0]).await, keys(&nodes[1]).await);
    assert!(!nodes[0].data.path().join("receipt_key").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_checks_a_receipt_offline_and_says_what_is_wrong() {
    let t = TestApp::start().await;
    let media = Media::named("silent.mp4");
    let receipt = store(&t, "g", &media, "").await;
    let (set, dir) = (keys(&t).await, tempfile::tempdir().unwrap());
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let (good, clip) = (file("good.json", receipt.to_string().as_bytes()), file("clip.mp4", &all(&media)));
    let (sim, data) = t.stop().await;
    let run = |args: &[&str]| clipkeep(&sim, data.path(), &[&["verify", "--receipt"], args].concat(), &[]);
    let (code, out, _) = run(&[&good, "--clip", &clip]);
    assert!(code == 0 && out.contains("genuine") && out.contains("exactly these bytes"), "{out}");
    assert!(run(&[&good]).1.contains("no bytes were compared"));
    let (code, out, _) = run(&[&good, "--json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["right"], &told["receipt"]), (0, &json!(true), &receipt["receipt"]));

    // By whoever has nothing of this node.
    let (nowhere, x) = (dir.path().join("nowhere"), set["keys"][0]["x"].as_str().unwrap());
    let stranger = |args: &[&str]| clipkeep(&sim, &nowhere, &[&["verify", "--receipt"], args].concat(), &[]);
    for key in [&file("keys.json", set.to_string().as_bytes()), &file("key", x.as_bytes()), x, &set.to_string()] {
        assert_eq!(stranger(&[&good, "--key", key, "--clip", &clip]).0, 0, "{key}");
    }
    let (code, _, errors) = stranger(&[&good]);
    assert!(code == 1 && errors.contains("--key") && !nowhere.exists(), "{errors}");

    let altered = |member: &str, value: Value| {
        let mut changed = receipt.clone();
        changed[member] = value;
        changed.to_string()
    };
    let none = BASE64URL_NOPAD.encode(br#"{"alg":"none","typ":"clipkeep-receipt+json"}"#);
    let text = receipt.to_string();
    let mut longer = all(&media).to_vec();
    let short = file("short.mp4", &longer[1..]);
    longer[100] ^= 1;
    let flipped = file("flipped.mp4", &longer);
    let other = ReceiptKey::text(&[9; 32]).parse::<ReceiptKey>().unwrap().jwks().to_string();
    for (name, content, more, words) in [
        ("tampered", altered("payload", json!(BASE64URL_NOPAD.encode(b"{}"))), &[][..], "signature does not hold"),
        ("shown", altered("receipt", json!({"size": 1})), &[], "not what was signed"),
        ("unsigned", altered("signature", json!("")), &[], "signature does not hold"),
        ("none", altered("protected", json!(none)), &[], "algorithm is not EdDSA"),
        ("truncated", text[..text.len() - 20].to_owned(), &[], "cut short"),
        ("empty", String::new(), &[], "no receipt"),
        ("other", text.clone(), &["--key", &other], "another key"),
        ("short", text.clone(), &["--clip", &short], "bytes instead of"),
        ("flipped", text.clone(), &["--clip", &flipped], "has the checksum"),
    ] {
        let path = file(name, content.as_bytes());
        let (code, out, errors) = run(&[&[path.as_str()], more].concat());
        assert!(code == 1 && out.contains(words), "{name}: {out} {errors}");
        let (code, out, _) = run(&[&[path.as_str(), "--json"], more].concat());
        let told: Value = serde_json::from_str(&out).unwrap();
        assert!(code == 1 && told["right"] == false && told["problem"].as_str().unwrap().contains(words), "{out}");
    }
    assert!(run(&["/nowhere/at/all"]).2.contains("reading /nowhere/at/all"));
    assert_eq!(run(&[&good, "--mend"]).0, 2);
}
