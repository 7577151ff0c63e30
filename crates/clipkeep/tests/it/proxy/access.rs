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
async fn h12_a_browsers_page_spends_nothing_where_a_network_is_open() {
    let t = start(&[("proxy_networks", "127.0.0.0/8"), ("proxy_hosts", "app.example.com")]).await;
    let send = |headers: &[(&str, &str)]| {
        let request = t.client.post(format!("{}/fal/proxy", t.url)).header("x-fal-target-url", VEO);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    for headers in [
        &[("origin", "https://evil.com")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", "https://app.example.com")],
        &[("host", "evil.com")],
        &[("host", "evil.com:8787"), ("origin", "http://evil.com:8787"), ("sec-fetch-site", "same-origin")],
        &[("host", "evil.com"), ("x-forwarded-host", "app.example.com")],
    ] {
        assert_eq!(problem(send(headers).send().await.unwrap()).await, (403, "forbidden".to_owned()), "{headers:?}");
    }
    assert!(t.sim.calls().is_empty(), "{:?}", t.sim.calls());
    for headers in [&[("origin", "https://app.example.com")][..], &[("host", "app.example.com")], &[]] {
        assert_eq!(send(headers).json(&json!({"prompt": "x"})).send().await.unwrap().status(), 200, "{headers:?}");
    }
    // Who shows a token is nobody's page.
    let token = format!("Key {}", t.token);
    let shown = send(&[("origin", "https://evil.com"), ("authorization", &token)]).json(&json!({"prompt": "x"}));
    assert_eq!(shown.send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn h13_a_path_that_could_mean_two_generations_passes_nowhere() {
    let t = start(&[]).await;
    for (method, path) in [
        (Method::GET, "fal-ai/veo3/requests/BOB/requests/ALICE"),
        (Method::GET, "fal-ai/veo3/requests/requests/ALICE"),
        (Method::GET, "x/requests/BOB"),
        (Method::POST, "x/requests/BOB"),
        (Method::POST, "fal-ai/veo3/Requests/BOB"),
        (Method::PUT, "fal-ai/veo3/requests/BOB/cancel/requests/ALICE/cancel"),
    ] {
        for host in ["queue.fal.run", "fal.run"] {
            let reply =
                call(&t, method.clone(), &format!("https://{host}/{path}")).json(&json!({})).send().await.unwrap();
            assert_eq!(problem(reply).await.0, 400, "{method} {host}/{path}");
        }
    }
    for model in ["x/requests/BOB", "fal-ai/veo3/requests/BOB", "requests/x/y", "fal-ai/veo3/REQUESTS/BOB/cancel"] {
        let body = json!({"submit": true, "model": model, "input": {"prompt": "x"}});
        let submit = t.client.post(format!("{}/api/v1/generations", t.url)).bearer_auth(&t.token).json(&body);
        assert_eq!(submit.send().await.unwrap().status(), 400, "{model}");
    }
    assert!(t.sim.calls().is_empty(), "{:?}", t.sim.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn h34_the_fal_key_itself_opens_what_it_pays_for_and_nothing_else() {
    let t = start(&[]).await;
    let send = |authorization: String| {
        let request = t.client.post(format!("{}/fal/proxy", t.url)).header("x-fal-target-url", VEO);
        request.header("authorization", authorization).header("x-clipkeep-tenant", "acme").json(&json!({"prompt": "x"}))
    };
    let key = super::KEY;
    for wrong in [key[..key.len() - 1].to_owned(), format!("{key}x"), key.to_uppercase()] {
        assert_eq!(problem(send(format!("Key {wrong}")).send().await.unwrap()).await.0, 401, "{wrong}");
    }
    let reply: serde_json::Value = send(format!("Key {key}")).send().await.unwrap().json().await.unwrap();
    let known = super::generation(&t, &reply["request_id"]).await.unwrap();
    assert_eq!(known.facts.tenant.unwrap().as_str(), "acme");
    let api = t.client.get(format!("{}/api/v1/clips", t.url)).bearer_auth(key).send().await.unwrap();
    assert_eq!(api.status(), 401);
    let keyless = start(&[("fal_key", "")]).await;
    let empty = keyless.client.post(format!("{}/fal/proxy", keyless.url)).header("x-fal-target-url", VEO);
    let empty = empty.header("authorization", "Key ").json(&json!({})).send().await.unwrap();
    assert_eq!(problem(empty).await.0, 401);
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
