//! Each audience, each kind of link, each state of the clip.

use clipkeep_core::{link::Audience, state::ClipState};
use fal_sim::Media;
use serde_json::json;

use super::{client, clips, header, link, now, post, signed, token};
use crate::support::app::TestApp;

/// What a cell answers: its status, and the code of its problem.
type Cell = (u16, &'static str);

const FORBIDDEN: Cell = (403, "forbidden_link");
const EXPIRED: Cell = (403, "expired_link");

/// The links of one audience to one clip, each with what it answers.
async fn links(t: &TestApp, audience: Audience, key: &str, genuine: Cell) -> Vec<(&'static str, String, Cell)> {
    let later = now(t) + 3600;
    let good = signed(t, audience, key, later, None);
    let revoked = signed(t, audience, key, later, Some("revoked.mp4"));
    let (status, answer) = post(t, &t.token, "links/revoke", &json!({"url": revoked})).await;
    assert_eq!((status, answer["revoked"].as_str()), (200, Some("link")), "{answer}");
    // Of a clip that nobody knows it is not known either whether it is public.
    let unsigned = if audience == Audience::Public && genuine.0 == 404 { genuine } else { FORBIDDEN };
    let (path, other) = match audience {
        Audience::Public => ("/v/", "/i/"),
        Audience::Internal => ("/i/", "/v/"),
    };
    let kids = |url: &str| match audience {
        Audience::Public => url.replace("kid=k1", "kid=i-1"),
        Audience::Internal => url.replace("kid=i-1", "kid=k1"),
    };
    vec![
        ("expired", signed(t, audience, key, now(t) - 1, None), EXPIRED),
        ("expired long ago", signed(t, audience, key, 1, None), EXPIRED),
        ("another expiry", good.replace(&format!("expires={later}"), &format!("expires={}", later + 1)), FORBIDDEN),
        ("a download name of one's own", format!("{good}&download=x.mp4"), FORBIDDEN),
        ("another signature", good.replace("signature=", "signature=A"), FORBIDDEN),
        ("no signature", good.split('?').next().unwrap().to_owned(), unsigned),
        ("another clip's", signed(t, audience, "other.mp4", later, None).replace("other.mp4", key), FORBIDDEN),
        ("the other path", good.replace(path, other), FORBIDDEN),
        ("the other's key id", kids(&good), FORBIDDEN),
        ("the other path and key id", kids(&good.replace(path, other)), FORBIDDEN),
        ("revoked", revoked, FORBIDDEN),
        ("signed", good, genuine),
    ]
}

/// Asks by every link; the source's host shows in no answer but one.
async fn check(t: &TestApp, audience: Audience, key: &str, genuine: Cell, source: &str) {
    let host = t.sim.media_url().replace("http://", "");
    for (kind, url, (status, code)) in links(t, audience, key, genuine).await {
        let what = format!("{audience} {kind} {key}");
        let answer = client().get(&url).send().await.unwrap();
        assert_eq!(answer.status(), status, "{what}");
        if url.contains("/i/") {
            assert_eq!(header(&answer, "cache-control"), "no-store", "{what}");
            assert_eq!(header(&answer, "referrer-policy"), "no-referrer", "{what}");
        } else if status == 200 {
            assert!(header(&answer, "cache-control").starts_with("private, "), "{what}");
        } else {
            assert_eq!(header(&answer, "cache-control"), "no-store", "{what}");
        }
        let location = header(&answer, "location").to_owned();
        assert_eq!(location.is_empty(), status != 302, "{what}");
        let mut head = answer.headers().clone();
        let body = answer.bytes().await.unwrap();
        if location == source {
            assert_eq!((audience, kind, key), (Audience::Internal, "signed", "waiting.mp4"));
            head.remove("location");
        }
        let text = format!("{head:?} {}", String::from_utf8_lossy(&body));
        assert!(!text.contains(&host) && !text.contains("/files/"), "{what}: {text}");
        if !code.is_empty() {
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["code"], code, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i02_case_43_each_audience_sees_what_it_may_and_no_more() {
    let t = TestApp::with(&[("not_found_attempts", "1".to_owned())]).await;
    let source = clips(&t).await;
    check(&t, Audience::Internal, "waiting.mp4", (302, ""), &source).await;
    check(&t, Audience::Internal, "stored.mp4", (302, ""), &source).await;
    check(&t, Audience::Internal, "lost.mp4", (410, "gone"), &source).await;
    check(&t, Audience::Internal, "unknown.mp4", (404, "not_found"), &source).await;
    check(&t, Audience::Public, "stored.mp4", (200, ""), &source).await;
    check(&t, Audience::Public, "lost.mp4", (410, "gone"), &source).await;
    check(&t, Audience::Public, "unknown.mp4", (404, "not_found"), &source).await;
    // Only now was it watched: none of the above began its fill.
    let waiting = t.until("waiting.mp4", ClipState::Waiting).await;
    assert_eq!((waiting.attempts, t.sim.requests_for(&source).len()), (0, 0));
    check(&t, Audience::Public, "waiting.mp4", (200, ""), &source).await;
    t.until("waiting.mp4", ClipState::Stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_internal_link_leads_to_the_source_and_then_to_our_own_short_link() {
    let t = TestApp::start().await;
    let source = clips(&t).await;
    let url =
        link(&t, "waiting.mp4", &json!({"audience": "internal", "expires_in": 600, "download": "a fox.mp4"})).await;
    for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
        let answer = client().request(method, &url).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), header(&answer, "location")), (302, source.as_str()));
    }
    assert_eq!(client().post(&url).send().await.unwrap().status(), 405);
    t.app.engine.join(&"waiting.mp4".parse().unwrap());
    t.until("waiting.mp4", ClipState::Stored).await;
    let answer = client().get(&url).send().await.unwrap();
    let ours = header(&answer, "location").to_owned();
    assert!(ours.starts_with(&format!("{}/v/waiting.mp4?expires=", t.url)), "{ours}");
    let expires = |url: &str| url.split("expires=").nth(1).unwrap().split('&').next().unwrap().parse::<i64>().unwrap();
    assert!(expires(&ours) <= expires(&url), "it does not outlive the link that led to it");
    let clip = client().get(&ours).send().await.unwrap();
    assert_eq!(
        (clip.status().as_u16(), header(&clip, "content-disposition")),
        (200, "attachment; filename=\"a fox.mp4\"")
    );
    // Of a long one it is the link of this window, which repeats.
    let long = link(&t, "stored.mp4", &json!({"audience": "internal"})).await;
    let answer = client().get(&long).send().await.unwrap();
    let ours = expires(header(&answer, "location"));
    assert!(ours % 3600 == 0 && ours - now(&t) <= 3600 + 300, "{ours}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_internal_link_leads_nowhere_but_to_an_allowed_source() {
    let t = TestApp::start().await;
    t.hook("away", "https://not-allowed.example/x.mp4", "?policy=on_demand").await;
    t.hook("script", "javascript:alert(1)", "?policy=on_demand").await;
    t.register(&json!({"request_id": "own", "adopt": true})).await;
    t.register(&json!({"request_id": "pending"})).await;
    for key in ["away.mp4", "own.mp4", "pending.mp4"] {
        let answer = client().get(t.link_for(Audience::Internal, key)).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), header(&answer, "location")), (503, ""), "{key}");
        assert!(!header(&answer, "retry-after").is_empty(), "{key}");
    }
    let answer = client().get(t.link_for(Audience::Internal, "script.mp4")).send().await.unwrap();
    assert!(answer.status().is_client_error() || answer.status().is_server_error());
    assert_eq!(header(&answer, "location"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_internal_link_lasts_a_day_at_most_unless_set() {
    let t = TestApp::start().await;
    clips(&t).await;
    let wanted = |span: &str| json!({"audience": "internal", "expires_in": span});
    let (status, answer) = post(&t, &t.token, "clips/stored.mp4/links", &wanted("25h")).await;
    assert!(status == 400 && answer["detail"].as_str().unwrap().contains("internal_link_max_ttl"), "{answer}");
    for span in ["24h", "1s"] {
        let (status, row) = post(&t, &t.token, "clips/stored.mp4/links", &wanted(span)).await;
        assert_eq!((status, row["audience"].as_str()), (201, Some("internal")));
        assert!(row["expires"].as_i64().unwrap() <= now(&t) + 86_401, "{row}");
    }
    // One that somebody signed for longer than that is none.
    let long = signed(&t, Audience::Internal, "stored.mp4", now(&t) + 86_400 + 120, None);
    assert_eq!(client().get(long).send().await.unwrap().status(), 403);
    let t = TestApp::with(&[("internal_link_max_ttl", "30d".to_owned())]).await;
    clips(&t).await;
    let long = link(&t, "stored.mp4", &wanted("29d")).await;
    assert_eq!(client().get(long).send().await.unwrap().status(), 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_made_by_the_admin_and_by_who_owns_the_clip() {
    let t = TestApp::start().await;
    clips(&t).await;
    let (acme, other) = (token(&t, "acme", 1).await, token(&t, "other", 2).await);
    let internal = json!({"audience": "internal"});
    // It leads to the source, which a tenant's row withholds.
    assert_eq!(post(&t, &acme, "clips/stored.mp4/links", &internal).await.0, 403);
    assert_eq!(post(&t, &t.token, "clips/stored.mp4/links", &internal).await.0, 201);
    for (token, key, status) in [
        (t.token.as_str(), "stored.mp4", 201),
        (&acme, "stored.mp4", 201),
        (&other, "stored.mp4", 404),
        // Nobody's clip is the admin's.
        (&acme, "lost.mp4", 404),
        ("wrong", "stored.mp4", 401),
    ] {
        assert_eq!(post(&t, token, &format!("clips/{key}/links"), &json!({})).await.0, status, "{key}");
        let receipt = t.client.get(format!("{}/api/v1/clips/{key}/receipt", t.url)).bearer_auth(token);
        let expected = if status == 201 { 200 } else { status };
        assert_eq!(receipt.send().await.unwrap().status(), expected, "{key}");
    }
    assert_eq!(
        Media::named("silent.mp4").sha256(),
        t.until("stored.mp4", ClipState::Stored).await.sealed.unwrap().sha256
    );
}
