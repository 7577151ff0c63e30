//! Any other provider, by Standard Webhooks.

use clipkeep_core::state::ClipState;
use data_encoding::BASE64;
use fal_sim::{Delivery, Media, SimOptions};
use ring::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};

use super::{SECRET, deliver, node};
use crate::support::app::TestApp;

/// Three headers of this family around what `sign` makes of the message.
fn signed(t: &TestApp, family: [&'static str; 3], body: &[u8], sign: impl Fn(&[u8]) -> String) -> Delivery {
    let at = t.app.clock.now().secs().to_string();
    let message = [b"msg_7.", at.as_bytes(), b".", body].concat();
    let values = ["msg_7".to_owned(), at, sign(&message)];
    Delivery { headers: family.into_iter().zip(values).collect(), body: body.to_vec() }
}

const STANDARD: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
const SVIX: [&str; 3] = ["svix-id", "svix-timestamp", "svix-signature"];

fn by_secret(message: &[u8]) -> String {
    let secret = BASE64.decode(SECRET.trim_start_matches("whsec_").as_bytes()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    format!("v1,{}", BASE64.encode(hmac::sign(&key, message).as_ref()))
}

/// Such a message, signed by the secret.
pub(super) fn signed_by_secret(t: &TestApp, body: &[u8]) -> Delivery {
    signed(t, STANDARD, body, by_secret)
}

async fn tell(t: &TestApp, kind: &str, data: Value) -> (u16, Value) {
    let body = json!({"type": kind, "timestamp": "2026-11-24T10:00:00Z", "data": data}).to_string();
    let answer = deliver(t, "standard", signed(t, STANDARD, body.as_bytes(), by_secret)).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn i11_i12_a_prompt_that_is_too_long_to_be_kept_costs_no_clip() {
    let t = node(SimOptions::default(), &[]).await;
    let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    for (id, len, is_kept) in [("a", 100_000, true), ("b", 300_000, false)] {
        let prompt = "a fox ".repeat(len / 6);
        let hash = clipkeep_core::prompt::prompt_hash(&prompt);
        let data = json!({"provider": "luma", "request_id": id, "prompt": prompt, "outputs": [source]});
        assert_eq!(tell(&t, "generation.completed", data).await.0, 200, "{id}");
        t.until(&format!("{id}.mp4"), ClipState::Stored).await;
        let kept = if is_kept { json!(prompt) } else { Value::Null };
        let input = json!({"prompt": prompt});
        t.register(&json!({"request_id": format!("{id}-told"), "prompt": prompt, "input": input})).await;
        for path in [format!("clips/{id}.mp4"), format!("generations/{id}-told")] {
            let row = t.api(&format!("/api/v1/{path}")).await;
            assert!(row["prompt"] == kept, "{path}");
            assert_eq!(row["prompt_hash"], hash, "{path}");
            if !is_kept && path.starts_with("gen") {
                assert_eq!(row["input"], json!({"prompt": {"$omitted_bytes": prompt.len()}}));
            }
        }
        let found = t.api(&format!("/api/v1/clips?prompt_hash={hash}")).await;
        assert_eq!(found["clips"][0]["key"], format!("{id}.mp4"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_of_any_provider_is_kept_and_plays() {
    let t = node(SimOptions::default(), &[]).await;
    let (video, still) =
        (t.sim.add_file("a", Media::named("moov-last.mp4")), t.sim.add_file("b.png", Media::named("still.png")));
    let started = json!({"provider": "luma", "request_id": "l1", "model": "ray-2", "prompt": "a fox"});
    assert_eq!(tell(&t, "generation.started", started).await.0, 200);
    assert_eq!(t.api("/api/v1/generations/l1").await["status"], "pending");
    let outputs = json!([{"url": video, "content_type": "video/mp4", "slot": "assets/video"}, still]);
    let done = json!({"provider": "luma", "request_id": "l1", "tenant": "acme", "seed": 7, "outputs": outputs,
        "input": {"prompt": "a fox", "loop": true}, "source_expires_at": "2030-01-01T00:00:00Z"});
    let (code, said) = tell(&t, "generation.completed", done.clone()).await;
    assert_eq!((code, said), (200, json!({"status": "recorded", "clips": 2})));
    assert_eq!(tell(&t, "generation.completed", done).await.1["status"], "duplicate");
    let clip = t.until("l1.mp4", ClipState::Stored).await;
    t.until("l1.1.png", ClipState::Stored).await;
    assert_eq!((clip.slot.as_str(), clip.provider.as_str()), ("/assets~1video", "luma"));
    let row = t.api("/api/v1/clips/l1.mp4").await;
    assert_eq!((&row["model"], &row["tenant"], &row["seed"]), (&json!("ray-2"), &json!("acme"), &json!(7)));
    assert_eq!((&row["input"]["loop"], &row["source_expires_at"]), (&json!(true), &json!("2030-01-01T00:00:00.000Z")));
    assert_eq!(t.client.get(t.link("l1.mp4")).send().await.unwrap().status(), 200);
    let failed = json!({"provider": "luma", "request_id": "l2", "error": {"message": "no https://h/x"}});
    assert_eq!(tell(&t, "generation.failed", failed).await.0, 200);
    let failed = t.api("/api/v1/generations/l2").await;
    assert_eq!((&failed["status"], &failed["error"]), (&json!("failed"), &json!("no [url]")));
    // Nobody knows how to ask for it, and nobody does.
    let waiting = json!({"provider": "luma", "request_id": "l3"});
    tell(&t, "generation.started", waiting).await;
    assert_eq!(t.app.catalog.count_unasked().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_31_a_key_speaks_for_whom_it_is_for_and_for_nobody_else() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let by_pair = |message: &[u8]| format!("v1a,{}", BASE64.encode(pair.sign(message).as_ref()));
    let public = format!("whpk_{}", BASE64.encode(pair.public_key().as_ref()));
    let t = node(SimOptions::default(), &[("standard_webhook_secrets", format!("{SECRET}, fal={public}"))]).await;
    let body = |provider: &str| {
        let outputs = ["https://v3.fal.media/files/a.mp4"];
        let data = json!({"provider": provider, "request_id": format!("{provider}-1"), "outputs": outputs});
        json!({"type": "generation.completed", "data": data}).to_string().into_bytes()
    };
    let status = async |delivery| deliver(&t, "standard", delivery).await.status().as_u16();
    assert_eq!(status(signed(&t, SVIX, &body("luma"), by_secret)).await, 200);
    for reserved in ["fal", "replicate", "adopted"] {
        assert_eq!(status(signed(&t, STANDARD, &body(reserved), by_secret)).await, 400, "{reserved}");
    }
    assert_eq!(status(signed(&t, STANDARD, &body("fal"), by_pair)).await, 200);
    assert_eq!(status(signed(&t, STANDARD, &body("luma"), by_pair)).await, 400);
    assert_eq!(status(signed(&t, STANDARD, &body("luma"), |_| "v1,AAAA v1a,AAAA".to_owned())).await, 401);
    for stranger in ["replicate-1", "adopted-1"] {
        assert!(t.app.catalog.generation(&stranger.parse().unwrap()).await.unwrap().is_none());
    }
    let (code, said) =
        tell(&t, "generation.completed", json!({"provider": "luma", "request_id": "x", "tenant": "a b"})).await;
    assert!(code == 400 && said["detail"].as_str().unwrap().contains("tenant"), "{said}");
    assert_eq!(tell(&t, "generation.dreamt", json!({"provider": "luma", "request_id": "x"})).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_one_without_outputs_is_refused_and_leaves_nothing() {
    let t = node(SimOptions::default(), &[]).await;
    for outputs in [Value::Null, json!([])] {
        let data = json!({"provider": "luma", "request_id": "x", "outputs": outputs});
        let (code, said) = tell(&t, "generation.completed", data).await;
        assert!(code == 400 && said["detail"].as_str().unwrap().contains("data.outputs"), "{said}");
    }
    assert!(t.app.catalog.generation(&"x".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_or_a_name_nothing_is_taken() {
    let t = node(SimOptions::default(), &[("standard_webhook_secrets", String::new())]).await;
    let (code, said) = tell(&t, "generation.completed", json!({"provider": "luma", "request_id": "x"})).await;
    assert!(code == 503 && said["detail"].as_str().unwrap().contains("`standard_webhook_secrets`"), "{said}");
    let stranger = deliver(&t, "nobody", signed(&t, STANDARD, b"{}", by_secret)).await;
    assert_eq!(stranger.status(), 404);
    assert_eq!(t.client.get(format!("{}/hooks/standard", t.url)).send().await.unwrap().status(), 405);
}

/// The example of docs/hooks.md, with the official library as `./test` installs it.
#[tokio::test(flavor = "multi_thread")]
async fn the_official_library_signs_what_is_believed() {
    let t = node(SimOptions::default(), &[]).await;
    let document = include_str!("../../../../../docs/hooks.md");
    let blocks = document.split("```python\n").map(|block| block.split_once("```").map_or(block, |(code, _)| code));
    let example = blocks.into_iter().find(|code| code.contains("from standardwebhooks")).unwrap();
    let body = document.split_once("```json\n").unwrap().1.split_once("```").unwrap().0;
    let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    let body = body.replace("https://media.luma.example/4b0c1f.mp4", &source);
    let call = "import sys\nprint(tell(sys.argv[1], 'msg-1', json.loads(sys.argv[2]), sys.argv[3])['status'])";
    let python = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/webhooks/python/bin/python");
    assert!(python.exists(), "the official Standard Webhooks libraries are missing: run ./test once, it installs them");
    let hook = format!("{}/hooks/standard", t.url);
    let mut command = tokio::process::Command::new(python);
    command.args(["-c", &format!("{example}\n{call}"), SECRET, &body, &hook]);
    let out = command.output().await.unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(String::from_utf8(out.stdout).unwrap(), "recorded\n");
    let clip = t.until("4b0c1f.mp4", ClipState::Stored).await;
    assert_eq!((clip.facts.prompt.as_deref(), clip.facts.seed), (Some("a fox"), Some(7_i64.into())));
    assert_eq!(t.api("/api/v1/clips/4b0c1f.1.png").await["kind"], "image");
}
