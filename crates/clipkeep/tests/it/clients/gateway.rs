//! The Python client, which takes only a host: the gateway behind real TLS.

use std::sync::Arc;

use clipkeep::web;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{App, FAL_KEY, assert_forwarded, assert_kept, assert_no_source, given, node, text};
use crate::{
    proxy::tenants::token_of,
    support::{app::TestApp, tls::Front},
};

/// TLS and the gateway of `t` behind it.
pub(super) async fn gateway(t: &TestApp) -> (TempDir, Front) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(web::serve_gateway(Arc::clone(&t.app), listener, CancellationToken::new()));
    let dir = tempfile::tempdir().unwrap();
    let front = Front::start(dir.path(), &address).await;
    (dir, front)
}

fn as_acme(model: &str, is_async: bool) -> Value {
    let mut given = given(model);
    given["headers"] = json!({"x-clipkeep-tenant": "acme"});
    given["async"] = json!(is_async);
    given
}

fn assert_urls_of_gateway(front: &Front, handle: &Value) {
    for url in ["/response_url", "/status_url", "/cancel_url"] {
        let ours = format!("https://queue.localhost:{}/fal-ai/", front.port);
        assert!(text(handle, url).starts_with(&ours), "{handle}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_python_clients_are_given_our_urls_and_they_play() {
    let t = node(&[]).await;
    let (_dir, front) = gateway(&t).await;
    let app = App::python(&front, &t.token);
    for is_async in [false, true] {
        let given = |model: &str| as_acme(model, is_async);
        let model = "fal-ai/wan/v2.2-a14b/text-to-video";
        let seen = app.run("subscribe", &given(model)).await;
        assert_eq!(seen["seen"].as_array().unwrap().last().unwrap()["is"], "Completed");
        assert_no_source(&t, &seen);
        assert_kept(&t, text(&seen, "/data/video/url"), model, Some("acme")).await;

        let seen = app.run("queue", &given("fal-ai/flux/dev")).await;
        assert_no_source(&t, &seen);
        assert_urls_of_gateway(&front, &seen["handle"]);
        assert_eq!(seen["events"].as_array().unwrap().last().unwrap()["is"], "Completed");
        assert_kept(&t, text(&seen, "/get/images/1/url"), "fal-ai/flux/dev", Some("acme")).await;
        assert!(is_async || (seen["get"] == seen["result"] && seen["by_id"]["is"] == "Completed"), "{seen}");

        let seen = app.run("run", &given("fal-ai/sora-2/text-to-video")).await;
        assert_no_source(&t, &seen);
        assert_kept(&t, text(&seen, "/video/url"), "fal-ai/sora-2/text-to-video", Some("acme")).await;

        let seen = app.run("stream", &given("fal-ai/kling-video/v3/pro/text-to-video")).await;
        assert_no_source(&t, &seen);
        assert_eq!(seen.as_array().unwrap().len(), 5, "{seen}");
        assert_kept(&t, text(&seen, "/4/video/url"), "fal-ai/kling-video/v3/pro/text-to-video", Some("acme")).await;

        let seen = app.run("cancel", &given("fal-ai/veo3")).await;
        assert_urls_of_gateway(&front, &seen["handle"]);
        assert_eq!(text(&seen, "/last/error_type"), "client_cancelled", "{seen}");
    }
    assert_forwarded(&t.sim.calls(), &t.token);
    let calls = t.sim.calls();
    let submit =
        calls.iter().find(|call| call.path.starts_with("/queue/") && call.header("x-fal-runner-hint").is_some());
    let submit = submit.unwrap();
    assert_eq!(
        (submit.header("x-fal-queue-priority"), submit.header("x-fal-request-timeout")),
        (Some("low"), Some("30.0"))
    );
    assert!(submit.query.starts_with("fal_webhook=http"), "{}", submit.query);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_is_open_to_our_tokens_and_to_the_fal_key_alone() {
    let t = node(&[]).await;
    let (_dir, front) = gateway(&t).await;
    for scenario in ["run", "submit"] {
        let seen = App::python(&front, "no-token").run(scenario, &given("fal-ai/veo3")).await;
        assert_eq!(seen["error"]["status"], 401, "{seen}");
    }
    let denied = App::js(&t.sim, "no-token").set("PROXY_URL", format!("{}/fal/proxy", t.url));
    assert_eq!(denied.run("run", &given("fal-ai/veo3")).await["error"]["status"], 401);
    assert!(t.sim.calls().is_empty());
    // An app that keeps fal's own key needs no other.
    let seen = App::python(&front, FAL_KEY).run("run", &given("fal-ai/veo3")).await;
    assert!(seen["error"].is_null(), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_45_a_tenants_app_speaks_for_that_tenant_and_hears_of_no_other() {
    let t = node(&[]).await;
    let (_dir, front) = gateway(&t).await;
    let (acme, other) = (token_of(&t, "acme", 1).await, token_of(&t, "other", 2).await);
    let model = "fal-ai/wan/v2.2-a14b/text-to-video";
    let proxied = |token: &str| App::js(&t.sim, token).set("PROXY_URL", format!("{}/fal/proxy", t.url));

    // Whatever the header says.
    let seen = proxied(&acme).set("TENANT", "other").run("subscribe", &given(model)).await;
    assert_kept(&t, text(&seen, "/data/video/url"), model, Some("acme")).await;
    let data = App::python(&front, &other).run("subscribe", &as_acme(model, false)).await;
    assert_kept(&t, text(&data, "/data/video/url"), model, Some("other")).await;

    let of_acme = text(&seen, "/requestId");
    let theirs = json!({"model": model, "requestId": of_acme, "request_id": of_acme});
    let before = t.sim.calls().len();
    assert_eq!(proxied(&other).run("result", &theirs).await["error"]["status"], 404);
    assert_eq!(App::python(&front, &other).run("result", &theirs).await["error"]["status"], 404);
    assert_eq!(t.sim.calls().len(), before, "fal is not even asked");
    assert_eq!(text(&proxied(&acme).run("result", &theirs).await, "/requestId"), of_acme);
    assert_forwarded(&t.sim.calls(), &acme);
    assert_forwarded(&t.sim.calls(), &other);
}
