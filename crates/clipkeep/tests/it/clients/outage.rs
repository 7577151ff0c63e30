//! fal fails, and its own clients hear of it as fal said it.

use fal_sim::{Outage, WebhookFaults};
use serde_json::{Value, json};

use super::{App, gateway::gateway, given, node, text};

const MODEL: &str = "fal-ai/veo3";

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_fals_is_told_in_its_own_words() {
    let t = node(&[]).await;
    let (js, (_dir, front)) = (App::js_by_proxy(&t), gateway(&t).await);
    let python = App::python(&front, &t.token);
    let words = json!({"detail": "Internal Server Error", "error_type": "internal_error"});
    t.sim.set_outages(vec![Outage::internal_error()]);
    for scenario in ["submit", "run", "stream"] {
        let seen = js.run(scenario, &given(MODEL)).await;
        assert_eq!((&seen["error"]["status"], &seen["error"]["body"]), (&json!(500), &words), "{scenario}: {seen}");
    }
    for scenario in ["submit", "run"] {
        let error = python.run(scenario, &given(MODEL)).await["error"].clone();
        assert_eq!((&error["status"], text(&error, "/message")), (&json!(500), "Internal Server Error"));
        assert_eq!(
            (text(&error, "/error_type"), text(&error, "/headers/x-fal-error-type")),
            ("internal_error", "internal_error")
        );
    }
    t.sim.set_outages(vec![Outage::no_runner()]);
    let error = python.run("run", &given(MODEL)).await["error"].clone();
    assert_eq!((&error["status"], text(&error, "/error_type")), (&json!(503), "runner_scheduling_failure"));
    // A client does not try again what ran into its own limit of time.
    let limit = Outage::status(504, r#"{"detail": "Request timed out"}"#).header("x-fal-request-timeout-type", "user");
    t.sim.set_outages(vec![limit]);
    let before = t.sim.calls().len();
    let seen = js.run("run", &given(MODEL)).await;
    assert_eq!((&seen["error"]["status"], &seen["error"]["isUserTimeout"]), (&json!(504), &json!(true)));
    assert_eq!(t.sim.calls().len(), before + 1);
    // What is no JSON passes as it is, too.
    let page =
        Outage { headers: vec![("content-type".into(), "text/html".into())], ..Outage::status(500, "<h1>nginx</h1>") };
    t.sim.set_outages(vec![page]);
    let error = python.run("submit", &given(MODEL)).await["error"].clone();
    assert_eq!((&error["status"], text(&error, "/message")), (&json!(500), "<h1>nginx</h1>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_tries_again_succeeds_through_us() {
    let t = node(&[]).await;
    let (js, (_dir, front)) = (App::js_by_proxy(&t), gateway(&t).await);
    let python = App::python(&front, &t.token);
    let outages = || vec![Outage::no_runner().times(1), Outage::too_many(1).times(1)];
    t.sim.set_outages(outages());
    assert!(text(&js.run("subscribe", &given(MODEL)).await, "/data/video/url").starts_with(&t.url));
    t.sim.set_outages(vec![Outage::too_many(1).times(2)]);
    assert!(text(&python.run("subscribe", &given(MODEL)).await, "/data/video/url").starts_with(&t.url));
    // A connection that fal breaks is told as a gateway's error, which the
    // JavaScript client tries again.
    t.sim.set_outages(vec![Outage::cut().times(1)]);
    assert!(text(&js.run("run", &given(MODEL)).await, "/data/video/url").starts_with(&t.url));
    t.sim.set_outages(vec![Outage::cut()]);
    let error = python.run("run", &given(MODEL)).await["error"].clone();
    assert_eq!((&error["status"], error["headers"]["content-type"].as_str()), (&json!(502), Some("application/json")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_refuses_is_told_as_it_said_it() {
    let t = node(&[]).await;
    let (js, (_dir, front)) = (App::js_by_proxy(&t), gateway(&t).await);
    let python = App::python(&front, &t.token);
    t.sim.set_webhook_faults(WebhookFaults { error: Some("not that".into()), ..WebhookFaults::default() });
    let detail = json!([{"loc": ["body", "prompt"], "msg": "not that", "type": "content_policy_violation"}]);
    for scenario in ["subscribe", "run"] {
        let seen: Value = js.run(scenario, &given(MODEL)).await;
        let error = (text(&seen, "/error/name"), &seen["error"]["status"], &seen["error"]["body"]["detail"]);
        assert_eq!(error, ("ValidationError", &json!(422), &detail), "{scenario}: {seen}");
        let seen = python.run(scenario, &given(MODEL)).await;
        assert_eq!((&seen["error"]["status"], &seen["error"]["message"]), (&json!(422), &detail), "{scenario}: {seen}");
    }
    let rows = t.api("/api/v1/clips").await;
    assert_eq!(rows["clips"], json!([]));
}

/// What we refuse ourselves reaches the app in words, by the fields that its
/// client looks at.
#[tokio::test(flavor = "multi_thread")]
async fn our_own_refusals_reach_the_app_in_words() {
    let t = node(&[]).await;
    let (_dir, front) = gateway(&t).await;
    for token in ["wrong-token", &t.token] {
        // The one is refused by us for its token, the other as fal is cut off.
        t.sim.set_outages(vec![Outage::cut()]);
        let (status, words) = if token == t.token { (502, "fal broke off") } else { (401, "token") };
        let js = App::js_by_proxy(&t).set("ACCESS_TOKEN", token);
        for scenario in ["submit", "run"] {
            let error = js.run(scenario, &given(MODEL)).await["error"].clone();
            assert!(error["status"] == status && text(&error, "/message").contains(words), "{scenario}: {error}");
            assert!(text(&error, "/body/detail").contains(words) && error["body"]["title"].is_string(), "{error}");
            let error = App::python(&front, token).run(scenario, &given(MODEL)).await["error"].clone();
            assert!(error["status"] == status && text(&error, "/message").contains(words), "{scenario}: {error}");
        }
    }
}
