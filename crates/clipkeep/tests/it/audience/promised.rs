//! A name that was promised at the submit, where the generation made media of
//! another type.

use clipkeep_core::{link::Audience, state::ClipState};
use fal_sim::Media;
use reqwest::Method;
use serde_json::json;

use super::{client, header, link, now, post, signed};
use crate::support::app::TestApp;

async fn image(t: &TestApp, id: &str, source: &str, query: &str) {
    let payload = json!({"images": [{"url": source, "content_type": "image/png"}]});
    assert_eq!(t.hook_payload(id, &payload, query).await.status(), 200);
}

async fn seen(url: &str) -> (u16, String) {
    let answer = client().get(url).send().await.unwrap();
    (answer.status().as_u16(), header(&answer, "location").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn i02_a_promised_name_leads_to_the_clip_that_came() {
    let t = TestApp::start().await;
    t.register(&json!({"request_id": "r"})).await;
    let promised = signed(&t, Audience::Public, "r.mp4", now(&t) + 600, Some("a fox.png"));
    assert_eq!(seen(&promised).await.0, 503, "nothing came yet");
    let source = t.sim.add_file("a.png", Media::named("still.png"));
    image(&t, "r", &source, "").await;
    t.until("r.png", ClipState::Stored).await;
    for method in [Method::GET, Method::HEAD] {
        let answer = client().request(method, &promised).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), header(&answer, "cache-control")), (307, "no-store"));
        let to = header(&answer, "location").to_owned();
        assert_eq!(to, signed(&t, Audience::Public, "r.png", now_of(&promised), Some("a fox.png")));
        let clip = client().get(&to).send().await.unwrap();
        assert_eq!((clip.status().as_u16(), header(&clip, "content-type")), (200, "image/png"));
    }
    // Who may not see it learns nothing.
    for (url, expected) in [
        (promised.replace("expires=", "expires=1"), 403),
        (promised.split('?').next().unwrap().to_owned(), 403),
        (signed(&t, Audience::Public, "r.mp4", now(&t) - 1, None), 403),
        (signed(&t, Audience::Public, "r.1.mp4", now(&t) + 60, None), 404),
        (signed(&t, Audience::Public, "s.mp4", now(&t) + 60, None), 404),
    ] {
        assert_eq!(seen(&url).await, (expected, String::new()), "{url}");
    }
    let internal = signed(&t, Audience::Internal, "r.mp4", now(&t) + 60, None);
    let (status, to) = seen(&internal).await;
    assert!(status == 302 && to.contains("/v/r.png?"), "{status} {to}");
    assert_eq!(seen(&to).await.0, 200);
    // What is revoked is revoked under each of its names.
    post(&t, &t.token, "links/revoke", &json!({"url": promised})).await;
    assert_eq!(seen(&promised).await, (403, String::new()));
    let other = signed(&t, Audience::Public, "r.mp4", now(&t) + 60, None);
    assert_eq!(seen(&other).await.0, 307);
    post(&t, &t.token, "clips/r.png/links/revoke", &json!(null)).await;
    assert_eq!(seen(&other).await, (403, String::new()));
    assert_eq!(seen(&internal).await, (403, String::new()));
    assert_eq!(seen(&link(&t, "r.png", &json!({})).await).await.0, 200);
}

fn now_of(url: &str) -> i64 {
    url.split("expires=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_clip_is_found_under_its_promised_name_without_a_link() {
    let t = TestApp::start().await;
    image(&t, "p", &t.sim.add_file("a.png", Media::named("still.png")), "?public=1").await;
    t.until("p.png", ClipState::Stored).await;
    assert_eq!(seen(&format!("{}/v/p.mp4", t.url)).await, (307, format!("{}/v/p.png", t.url)));
}
