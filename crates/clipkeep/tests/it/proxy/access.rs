//! Who may call, and what.

use reqwest::Method;
use serde_json::json;

use super::{call, problem, start};

const VEO: &str = "https://queue.fal.run/fal-ai/veo3";

#[tokio::test(flavor = "multi_thread")]
async fn i08_no_call_leaves_for_another_host_or_another_purpose() {
    let t = start(&[]).await;
    for (method, target, status) in [
        (Method::POST, "http://queue.fal.run/fal-ai/veo3", 412),
        (Method::POST, "https://fal.run.evil.com/fal-ai/veo3", 412),
        (Method::POST, "https://evil.com/fal-ai/veo3", 412),
        (Method::POST, "https://evil.com@fal.run/fal-ai/veo3", 412),
        (Method::POST, "https://fal.run@evil.com/fal-ai/veo3", 412),
        (Method::POST, "https://fal.run:8443/fal-ai/veo3", 412),
        (Method::POST, "https://fal.run./fal-ai/veo3", 412),
        (Method::POST, "https://xn--fl-eia.run/fal-ai/veo3", 412),
        (Method::POST, "https://127.0.0.1/fal-ai/veo3", 412),
        (Method::GET, "https://169.254.169.254/latest/meta-data", 412),
        (Method::GET, "https://v3.fal.media/files/b/x.mp4", 412),
        (Method::GET, "https://api.fal.ai/v1/keys", 412),
        (Method::POST, "", 412),
        (Method::POST, "https://fal.run/fal-ai/../../admin/x", 400),
        (Method::POST, "https://rest.fal.ai/keys", 400),
        (Method::POST, "https://rest.fal.ai/storage/upload/initiate/../x", 400),
        (Method::GET, VEO, 405),
        (Method::PUT, "https://queue.fal.run/fal-ai/veo3/requests/r", 405),
    ] {
        let reply = call(&t, method.clone(), target).json(&json!({"prompt": "x"})).send().await.unwrap();
        assert_eq!(problem(reply).await.0, status, "{method} {target}");
    }
    for method in [Method::DELETE, Method::PATCH] {
        assert_eq!(call(&t, method, VEO).send().await.unwrap().status(), 405);
    }
    let bare = t.client.post(format!("{}/fal/proxy", t.url)).bearer_auth(&t.token).json(&json!({}));
    assert_eq!(problem(bare.send().await.unwrap()).await, (400, "invalid_request".to_owned()));
    assert!(t.sim.calls().is_empty(), "{:?}", t.sim.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_no_open_relay() {
    let t = start(&[("proxy_networks", "10.0.0.0/8, 127.0.0.2")]).await;
    let send = |authorization: Option<String>| {
        let request = t.client.post(format!("{}/fal/proxy", t.url)).header("x-fal-target-url", VEO).json(&json!({}));
        match authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        }
    };
    let bad = [
        None,
        Some("Key wrong".to_owned()),
        Some(format!("Basic {}", t.token)),
        Some(t.token.clone()),
        Some("Key".into()),
    ];
    for authorization in bad {
        let forwarded = send(authorization.clone()).header("x-forwarded-for", "10.0.0.1");
        assert_eq!(
            problem(forwarded.send().await.unwrap()).await,
            (401, "unauthorized".to_owned()),
            "{authorization:?}"
        );
    }
    assert!(t.sim.calls().is_empty());
    for scheme in ["Key", "Bearer", "key", "BEARER"] {
        let reply = send(Some(format!("{scheme} {}", t.token))).send().await.unwrap();
        assert_eq!(reply.status(), 200, "{scheme}");
    }
    assert!(t.sim.calls().iter().all(|call| call.header("authorization") == Some(&*format!("Key {}", super::KEY))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_named_needs_no_token() {
    let t = start(&[("proxy_networks", "127.0.0.0/8")]).await;
    let request = t.client.post(format!("{}/fal/proxy", t.url)).header("x-fal-target-url", VEO).json(&json!({}));
    // What the app's own users send it is of no interest here.
    assert_eq!(request.header("authorization", "Bearer of-another-service").send().await.unwrap().status(), 200);
    // And nothing else opens with that.
    assert_eq!(t.client.get(format!("{}/api/v1/clips", t.url)).send().await.unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn i09_bad_calls_get_a_clear_error() {
    let t = start(&[]).await;
    let xml = call(&t, Method::POST, VEO).header("content-type", "text/xml").body("<x/>");
    assert_eq!(problem(xml.send().await.unwrap()).await, (415, "unsupported_media_type".to_owned()));
    let packed = call(&t, Method::POST, VEO).header("content-encoding", "gzip").json(&json!({}));
    assert_eq!(problem(packed.send().await.unwrap()).await.0, 415);
    let untyped = call(&t, Method::POST, VEO).body("{}");
    assert_eq!(problem(untyped.send().await.unwrap()).await.0, 415);
    let tenant = call(&t, Method::POST, VEO).header("x-clipkeep-tenant", "no blanks").json(&json!({}));
    assert_eq!(problem(tenant.send().await.unwrap()).await, (400, "invalid_request".to_owned()));
    assert!(t.sim.calls().is_empty());
    let keyless = start(&[("fal_key", "")]).await;
    let reply = call(&keyless, Method::POST, VEO).json(&json!({})).send().await.unwrap();
    assert_eq!(problem(reply).await, (503, "unavailable".to_owned()));
}
