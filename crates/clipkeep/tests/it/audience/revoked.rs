//! Links that were revoked: one, a clip's, a key's; on every node, after a
//! restart, and in the middle of a clip.

use std::{sync::Arc, time::Duration};

use clipkeep_core::{
    link::{Audience, LinkTarget},
    state::ClipState,
};
use fal_sim::{Media, Sim, SimOptions};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{client, clips, header, kid, link, now, post, signed, token};
use crate::{
    cli::clipkeep,
    support::{app::TestApp, garage, postgres},
};

async fn status(url: &str) -> u16 {
    client().get(url).send().await.unwrap().status().as_u16()
}

/// The same link at another node.
fn at(t: &TestApp, url: &str) -> String {
    let path = url.split_once("://").unwrap().1.split_once('/').unwrap().1;
    format!("{}/{path}", t.url)
}

/// Waits until the link answers so; it must be soon.
async fn soon(url: &str, expected: u16) {
    let began = Instant::now();
    while status(url).await != expected {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{url} is still not {expected}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_refuse_within_seconds_what_one_was_told_to_revoke() {
    let (sim, place) = (Sim::start(SimOptions::default()).await.unwrap(), garage::place());
    let settings = [("database", postgres::database().await), ("store", place.url())];
    let node = async || {
        let data = Arc::new(tempfile::tempdir().unwrap());
        TestApp::on(sim.clone(), data, &settings, &place.aws()).await
    };
    let (a, b) = (node().await, node().await);
    a.hook("c", &sim.add_file("a.mp4", Media::named("silent.mp4")), "").await;
    a.until("c.mp4", ClipState::Stored).await;
    let (public, internal) =
        (link(&a, "c.mp4", &json!({})).await, link(&a, "c.mp4", &json!({"audience": "internal"})).await);
    let named = signed(&a, Audience::Public, "c.mp4", now(&a) + 600, Some("x.mp4"));
    // At hand on both, so that neither asks the database any more.
    for t in [&a, &b] {
        assert_eq!((status(&at(t, &public)).await, status(&at(t, &named)).await), (200, 200));
        assert_eq!(status(&at(t, &internal)).await, 302);
    }
    // One link.
    assert_eq!(post(&a, &a.token, "links/revoke", &json!({"url": named})).await.0, 200);
    assert_eq!(status(&named).await, 403);
    soon(&at(&b, &named), 403).await;
    assert_eq!((status(&at(&b, &public)).await, status(&public).await), (200, 200));
    // The clip's, of both audiences.
    let (code, answer) = post(&b, &b.token, "clips/c.mp4/links/revoke", &Value::Null).await;
    assert_eq!((code, &answer["link_generation"]), (200, &json!(1)));
    for old in [&public, &internal] {
        assert_eq!(status(&at(&b, old)).await, 403);
        soon(&at(&a, old), 403).await;
    }
    let (public, internal) =
        (link(&a, "c.mp4", &json!({})).await, link(&b, "c.mp4", &json!({"audience": "internal"})).await);
    for t in [&a, &b] {
        assert_eq!((status(&at(t, &public)).await, status(&at(t, &internal)).await), (200, 302), "new links work");
    }
    let ours = client().get(at(&a, &internal)).send().await.unwrap();
    assert_eq!(status(header(&ours, "location")).await, 200, "an internal link leads to one that works");
    // A key's.
    assert_eq!(post(&a, &a.token, "links/revoke", &kid("i-1")).await.0, 200);
    soon(&at(&b, &internal), 403).await;
    assert_eq!((status(&at(&a, &internal)).await, status(&at(&b, &public)).await), (403, 200));
    // A node that starts later knows all of it.
    let c = node().await;
    assert_eq!((status(&at(&c, &named)).await, status(&at(&c, &internal)).await), (403, 403));
    assert_eq!(status(&at(&c, &public)).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_stays_so_after_a_restart() {
    let t = TestApp::start().await;
    clips(&t).await;
    let one = link(&t, "stored.mp4", &json!({"download": "x.mp4"})).await;
    let (old, waiting) = (t.link("stored.mp4"), t.link("waiting.mp4"));
    let other = signed(&t, Audience::Public, "lost.mp4", 4_000_000_000, None);
    assert_eq!((status(&one).await, status(&old).await), (200, 200));
    post(&t, &t.token, "links/revoke", &json!({"url": one})).await;
    assert_eq!((status(&one).await, status(&old).await), (403, 200));
    post(&t, &t.token, "clips/waiting.mp4/links/revoke", &Value::Null).await;
    assert_eq!(status(&waiting).await, 403);
    assert_eq!(t.until("waiting.mp4", ClipState::Waiting).await.attempts, 0, "a revoked link starts no fill");
    let (sim, data) = t.stop().await;
    let t = TestApp::on(sim, data, &[], &[]).await;
    assert_eq!((status(&at(&t, &one)).await, status(&at(&t, &waiting)).await), (403, 403));
    assert_eq!((status(&at(&t, &old)).await, status(&at(&t, &other)).await), (200, 410));
    let row = t.api("/api/v1/clips/waiting.mp4").await;
    assert_eq!(row["link_generation"], 1);
    // An app that signs by itself adds the generation to the key's id.
    let waiting = "waiting.mp4".parse().unwrap();
    let url = t.app.sign_link(LinkTarget::Clip, (&waiting, 1), Duration::from_secs(60), None).unwrap().url;
    assert!(url.contains("kid=k1.1&"));
    assert_eq!(status(&url).await, 200);
    // Nobody signs ahead, to outlive the next revocation.
    for audience in [Audience::Public, Audience::Internal] {
        let ahead =
            t.app.sign_link(LinkTarget::of(audience), (&waiting, 2), Duration::from_secs(60), None).unwrap().url;
        assert_eq!(status(&ahead).await, 403, "{audience}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_runs_ends_in_peace_and_the_next_one_is_refused() {
    let t = TestApp::start().await;
    let media = Media::padded(64 << 20, 1);
    t.hook("c", &t.sim.add_file("a.mp4", media.clone()), "").await;
    t.until("c.mp4", ClipState::Stored).await;
    let url = t.link("c.mp4");
    let mut running = client().get(&url).send().await.unwrap();
    let mut read = running.chunk().await.unwrap().unwrap().len() as u64;
    post(&t, &t.token, "clips/c.mp4/links/revoke", &Value::Null).await;
    assert_eq!(status(&url).await, 403);
    let range = client().get(&url).header("range", "bytes=0-9").send().await.unwrap();
    assert_eq!(range.status(), 403);
    while let Some(chunk) = running.chunk().await.unwrap() {
        read += chunk.len() as u64;
    }
    assert_eq!(read, media.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_clip_needs_no_link_and_a_revoked_one_opens_nothing() {
    let t = TestApp::start().await;
    t.hook("p", &t.sim.add_file("a.mp4", Media::named("silent.mp4")), "?public=1").await;
    t.until("p.mp4", ClipState::Stored).await;
    let url = t.link("p.mp4");
    post(&t, &t.token, "links/revoke", &json!({"url": url})).await;
    assert_eq!((status(&url).await, status(url.split('?').next().unwrap()).await), (403, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_out_after_a_revocation_works() {
    let t = TestApp::start().await;
    clips(&t).await;
    let revoke = async |url: &str| assert_eq!(post(&t, &t.token, "links/revoke", &json!({"url": url})).await.0, 200);
    let first = link(&t, "stored.mp4", &json!({})).await;
    assert_eq!(link(&t, "stored.mp4", &json!({})).await, first, "all of one window are one");
    revoke(&first).await;
    let second = link(&t, "stored.mp4", &json!({})).await;
    assert_eq!((status(&first).await, status(&second).await), (403, 200));
    // An internal link leads to one that works, too.
    let internal = link(&t, "stored.mp4", &json!({"audience": "internal"})).await;
    let led = async || header(&client().get(&internal).send().await.unwrap(), "location").to_owned();
    let ours = led().await;
    revoke(&ours).await;
    let other = led().await;
    assert_eq!((status(&ours).await, status(&other).await), (403, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_revoke_what() {
    let t = TestApp::start().await;
    clips(&t).await;
    let (acme, other) = (token(&t, "acme", 1).await, token(&t, "other", 2).await);
    let url = |download: &str| signed(&t, Audience::Public, "stored.mp4", now(&t) + 600, Some(download));
    let (one, expired) =
        (json!({"url": url("1")}), json!({"url": signed(&t, Audience::Public, "stored.mp4", 5, None)}));
    let (all, nothing) = ("clips/stored.mp4/links/revoke", Value::Null);
    let tampered = json!({"url": url("2").replace("download=2", "download=3")});
    let unknown = json!({"url": signed(&t, Audience::Public, "unknown.mp4", now(&t) + 600, None)});
    for (token, path, body, expected) in [
        ("wrong", "links/revoke", &one, 401),
        ("wrong", all, &nothing, 401),
        (&other, "links/revoke", &one, 404),
        (&other, all, &nothing, 404),
        (&acme, "links/revoke", &unknown, 404),
        (&acme, "links/revoke", &kid("k1"), 403),
        (&acme, "links/revoke", &one, 200),
        (&acme, "links/revoke", &one, 200),
        (&acme, all, &nothing, 200),
        (&t.token, "links/revoke", &unknown, 200),
        (&t.token, "links/revoke", &expired, 200),
        (&t.token, "links/revoke", &tampered, 404),
        (&t.token, "links/revoke", &json!({"url": "https://example.com/"}), 404),
        (&t.token, "links/revoke", &json!({"url": format!("{}/v/stored.mp4", t.url)}), 404),
        (&t.token, "links/revoke", &json!({"url": "x", "kid": "k1"}), 400),
        (&t.token, "links/revoke", &json!({}), 400),
        (&t.token, "links/revoke", &kid("k2"), 404),
        (&t.token, "links/revoke", &kid("k1.1"), 404),
        (&t.token, "clips/unknown.mp4/links/revoke", &nothing, 404),
        (&t.token, "links/revoke", &kid("k1"), 200),
    ] {
        let (status, answer) = post(&t, token, path, body).await;
        assert_eq!(status, expected, "{path} {body}: {answer}");
    }
    // The key that signs is gone: no link is made that does not work.
    assert_eq!(post(&t, &t.token, "clips/stored.mp4/links", &json!({})).await.0, 409);
    let internal = link(&t, "stored.mp4", &json!({"audience": "internal"})).await;
    assert_eq!(status(&internal).await, 503, "there is no public link that it could lead to");
    // Another key in front, and all is well again.
    let (sim, data) = t.stop().await;
    let keys = "k2:AAECAwQFBgcICQoLDA0ODw,k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".to_owned();
    let t = TestApp::on(sim, data, &[("link_keys", keys)], &[]).await;
    assert_eq!(status(&link(&t, "stored.mp4", &json!({})).await).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_signs_for_both_audiences_and_revokes() {
    let t = TestApp::start().await;
    let source = clips(&t).await;
    let run = |args: &[&str]| clipkeep(&t.sim, t.data.path(), &[&["link"], args].concat(), &[]);
    let made = |args: &[&str]| {
        let (code, out, errors) = run(args);
        assert_eq!(code, 0, "{errors}");
        at(&t, out.trim())
    };
    let internal = made(&["waiting.mp4", "--internal", "--expires-in", "1h"]);
    let answer = client().get(&internal).send().await.unwrap();
    assert_eq!(header(&answer, "location"), source);
    assert!(run(&["waiting.mp4", "--internal", "--expires-in", "25h"]).2.contains("internal_link_max_ttl"));
    let (one, all) = (made(&["stored.mp4", "--download", "x.mp4"]), made(&["stored.mp4"]));
    assert_eq!((status(&one).await, status(&all).await), (200, 200));
    assert!(run(&["--revoke", &one]).1.contains("that link to stored.mp4 is revoked"));
    soon(&one, 403).await;
    let anew = made(&["stored.mp4", "--download", "x.mp4"]);
    assert_eq!((anew != one, status(&anew).await), (true, 200));
    assert_eq!(status(&all).await, 200);
    let (code, out, _) = run(&["stored.mp4", "--revoke-all", "--json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, told), (0, json!({"revoked": "clip", "key": "stored.mp4", "link_generation": 1})));
    soon(&all, 403).await;
    assert_eq!(status(&made(&["stored.mp4"])).await, 200, "it signs for the clip's generation");
    let nowhere = [("CLIPKEEP_DATABASE", "postgres://nobody@127.0.0.1:1/x")];
    let (code, _, note) = clipkeep(&t.sim, t.data.path(), &["link", "stored.mp4"], &nowhere);
    assert!(code == 0 && note.contains("does not answer"), "{note}");
    assert_eq!(run(&["--revoke-kid", "i-1"]).0, 0);
    soon(&internal, 403).await;
    let (code, out, errors) = run(&["stored.mp4", "--internal"]);
    assert!(code == 1 && out.is_empty() && errors.contains("put a new one in front"), "{errors}");
    for (wrong, code, words) in [
        (&["unknown.mp4", "--revoke-all"][..], 1, "no clip is named"),
        (&["--revoke", "https://example.com/v/x.mp4"], 1, "not signed"),
        (&["--revoke-kid", "k9"], 1, "no link key"),
        (&["--revoke-all"], 2, "KEY"),
        (&[], 2, "KEY"),
    ] {
        let (exit, _, errors) = run(wrong);
        assert!(exit == code && errors.contains(words), "{wrong:?}: {errors}");
    }
}
