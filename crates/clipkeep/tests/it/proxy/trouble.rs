//! fal is away, or we are.

use std::time::{Duration, Instant};

use clipkeep_core::{prompt::prompt_hash, state::ClipState};
use fal_sim::{Outage, WebhookFaults};
use reqwest::{Method, redirect};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{call, clean, generation, problem, start, submit};
use crate::support::app::TestApp;

const QUEUE: &str = "https://queue.fal.run/fal-ai/veo3";

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_passed_on_as_fal_says_it() {
    let t = start(&[]).await;
    let client = reqwest::Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap();
    let page = Outage {
        headers: vec![("content-type".into(), "text/html".into())],
        ..Outage::status(502, "<html>bad</html>")
    };
    let moved = Outage::status(307, "{}").header("location", "https://evil.example/");
    for outage in [Outage::internal_error(), Outage::no_runner(), Outage::too_many(7), page, moved] {
        let outage = outage.header("set-cookie", "a=b");
        for (method, target) in [
            (Method::POST, QUEUE.to_owned()),
            (Method::POST, "https://fal.run/fal-ai/veo3".to_owned()),
            (Method::GET, format!("{QUEUE}/requests/r-1")),
            (Method::GET, format!("{QUEUE}/requests/r-1/status")),
            (Method::POST, "https://rest.fal.ai/tokens/".to_owned()),
        ] {
            t.sim.set_outages(vec![outage.clone().times(1)]);
            let request = match method {
                Method::POST => call(&t, method, &target).json(&json!({"prompt": "x"})),
                _ => call(&t, method, &target),
            };
            let reply = client.execute(request.build().unwrap()).await.unwrap();
            assert_eq!(Some(reply.status().as_u16()), outage.status, "{target}");
            for (name, value) in &outage.headers {
                let expected = Some(value.as_str()).filter(|_| name != "set-cookie");
                assert_eq!(reply.headers().get(name).map(|v| v.to_str().unwrap()), expected, "{target} {name}");
            }
            assert_eq!(reply.text().await.unwrap(), outage.body, "{target}");
        }
    }
    assert_eq!(t.sim.calls().len(), 25, "one call each, no redirect followed, none tried again");
    assert!(t.app.catalog.clips(&Default::default(), None, 1).await.unwrap().clips.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_at_all_is_a_problem_that_names_fal() {
    let t = start(&[]).await;
    t.sim.set_outages(vec![Outage::cut().times(1)]);
    let reply = call(&t, Method::POST, QUEUE).json(&json!({"prompt": "x"})).send().await.unwrap();
    assert_eq!(reply.status(), 502);
    let text = clean(&t, reply).await;
    assert!(text.contains("fal broke off") && text.contains("provider_unreachable"), "{text}");
    t.sim.shutdown();
    for method in [Method::POST, Method::GET] {
        let target = if method == Method::POST { QUEUE.to_owned() } else { format!("{QUEUE}/requests/r") };
        let reply = call(&t, method, &target).json(&json!({"prompt": "x"})).send().await.unwrap();
        assert_eq!(problem(reply).await, (502, "provider_unreachable".to_owned()));
    }
}

/// The catalogue as somebody else opens it.
fn database(t: &TestApp) -> Connection {
    Connection::open(t.data.path().join("clipkeep.db")).unwrap()
}

const BREAK: &str = "ALTER TABLE generations RENAME TO generations_away";
const MEND: &str = "ALTER TABLE generations_away RENAME TO generations";

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_waits_for_its_row_and_is_not_lost_without_it() {
    let t = start(&[]).await;
    database(&t).execute(BREAK, ()).unwrap();
    let began = Instant::now();
    let reply = submit(&t, "fal-ai/veo3", &json!({"prompt": "a fox"})).await;
    assert!(began.elapsed() > Duration::from_secs(1), "the answer waited for the row");
    assert!(
        t.client
            .get(format!("{}/metrics", t.url))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
            .contains("clipkeep_proxy_unrecorded_total{call=\"submit\"} 1")
    );
    database(&t).execute(MEND, ()).unwrap();
    // Its webhook was refused meanwhile, comes again, and tells of it.
    let clip = t.until(&format!("{}.mp4", reply["request_id"].as_str().unwrap()), ClipState::Stored).await;
    assert_eq!(clip.facts.model.as_deref(), Some("fal-ai/veo3"));
    assert_eq!(clip.facts.prompt_hash, Some(prompt_hash("a fox")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_recorded_is_asked_for_again() {
    let t = start(&[]).await;
    t.sim.set_webhook_faults(WebhookFaults { drop: true, ..WebhookFaults::default() });
    let reply = submit(&t, "fal-ai/veo3", &json!({"prompt": "a fox"})).await;
    let target = format!("{QUEUE}/requests/{}", reply["request_id"].as_str().unwrap());
    let began = Instant::now();
    while call(&t, Method::GET, &format!("{target}/status")).send().await.unwrap().status() != 200 {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    database(&t).execute(BREAK, ()).unwrap();
    let away = call(&t, Method::GET, &target).send().await.unwrap();
    assert_eq!((away.status().as_u16(), &away.headers()["retry-after"]), (503, &"5".parse().unwrap()));
    clean(&t, away).await;
    database(&t).execute(MEND, ()).unwrap();
    let result = call(&t, Method::GET, &target).send().await.unwrap();
    assert_eq!(result.status(), 200);
    let result: Value = serde_json::from_str(&clean(&t, result).await).unwrap();
    assert!(result["video"]["url"].as_str().unwrap().starts_with(&t.url));
    assert!(generation(&t, &reply["request_id"]).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_result_that_cannot_be_recorded_still_reaches_the_app() {
    let t = start(&[]).await;
    database(&t).execute(BREAK, ()).unwrap();
    let target = "https://fal.run/fal-ai/veo3";
    let result: Value =
        call(&t, Method::POST, target).json(&json!({"prompt": "x"})).send().await.unwrap().json().await.unwrap();
    assert!(result["video"]["url"].as_str().unwrap().starts_with(&t.sim.media_url()), "it cannot be asked for again");
    database(&t).execute(MEND, ()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_fill_their_disk_are_refused_and_fills_go_on() {
    let t = start(&[("proxy_disk", "1MiB")]).await;
    let long = json!({"prompt": "x", "image_url": "A".repeat(2 << 20)});
    let reply = call(&t, Method::POST, QUEUE).json(&long).send().await.unwrap();
    assert!(reply.headers().contains_key("retry-after"));
    let said: Value = reply.json().await.unwrap();
    assert!(said["status"] == 503 && said["message"].as_str().unwrap().contains("`proxy_disk`"), "{said}");
    assert!(t.sim.calls().is_empty());
    // What was taken for it is free again, and clips need none of it.
    for _ in 0..3 {
        let shorter = json!({"prompt": "x", "image_url": "A".repeat(900_000)});
        let reply = call(&t, Method::POST, QUEUE).json(&shorter).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        let id = reply.json::<Value>().await.unwrap()["request_id"].as_str().unwrap().to_owned();
        t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    }
}
