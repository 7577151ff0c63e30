//! A tenant's token speaks for that tenant, and hears of its own alone.

use clipkeep_core::{
    state::ClipState,
    time::Clock,
    token::{TOKEN_BYTES, TokenInfo, token_hash, token_text},
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{generation, problem, start, submit};
use crate::support::{app::TestApp, eventually::eventually};

const QUEUE: &str = "https://queue.fal.run/fal-ai/veo3";

/// A token of this tenant's.
pub(crate) async fn token_of(t: &TestApp, tenant: &str, number: u8) -> String {
    let token = token_text(&[number; TOKEN_BYTES]);
    let info = TokenInfo {
        id: tenant.to_owned(),
        name: "app".to_owned(),
        tenant: Some(tenant.parse().unwrap()),
        created_at: clipkeep::clock::SystemClock.now(),
        last_used_at: None,
        revoked_at: None,
    };
    t.app.catalog.create_token(&info, &token_hash(&token)).await.unwrap();
    token
}

fn call(t: &TestApp, token: &str, method: Method, target: &str) -> RequestBuilder {
    let request = t.client.request(method, format!("{}/fal/proxy", t.url)).header("x-fal-target-url", target);
    request.header("authorization", format!("Key {token}"))
}

fn tenant_of(generation: &clipkeep_core::generation::Generation) -> Option<&str> {
    generation.facts.tenant.as_ref().map(|tenant| tenant.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn case_45_a_tenants_token_speaks_for_that_tenant_whatever_a_header_says() {
    let t = start(&[]).await;
    let acme = token_of(&t, "acme", 1).await;
    let request =
        call(&t, &acme, Method::POST, QUEUE).header("x-clipkeep-tenant", "other").json(&json!({"prompt": "x"}));
    let reply: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(tenant_of(&generation(&t, &reply["request_id"]).await.unwrap()), Some("acme"));
    assert!(t.sim.calls()[0].query.contains("tenant%3Dacme"), "{:?}", t.sim.calls());
    let request = call(&t, &acme, Method::POST, "https://fal.run/fal-ai/veo3").header("x-clipkeep-tenant", "other");
    let reply = request.json(&json!({"prompt": "x"})).send().await.unwrap();
    let id = json!(reply.headers()["x-fal-request-id"].to_str().unwrap());
    assert_eq!(tenant_of(&generation(&t, &id).await.unwrap()), Some("acme"));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_45_a_tenant_hears_of_its_own_generations_alone() {
    let t = start(&[]).await;
    let (acme, other) = (token_of(&t, "acme", 1).await, token_of(&t, "other", 2).await);
    let request = call(&t, &acme, Method::POST, QUEUE).json(&json!({"prompt": "x"}));
    let own: Value = request.send().await.unwrap().json().await.unwrap();
    let nobodys = submit(&t, "fal-ai/veo3", &json!({"prompt": "x"})).await;
    let id = own["request_id"].as_str().unwrap();
    t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    let asked = t.sim.calls().len();
    for (token, id) in [(&other, id), (&other, "r-unknown"), (&acme, nobodys["request_id"].as_str().unwrap())] {
        for (method, path) in
            [(Method::GET, ""), (Method::GET, "/status"), (Method::GET, "/status/stream"), (Method::PUT, "/cancel")]
        {
            let reply = call(&t, token, method, &format!("{QUEUE}/requests/{id}{path}")).send().await.unwrap();
            assert_eq!(problem(reply).await, (404, "not_found".to_owned()), "{id}{path}");
        }
    }
    assert_eq!(t.sim.calls().len(), asked, "fal was not even asked");
    let mine = call(&t, &acme, Method::GET, &format!("{QUEUE}/requests/{id}")).send().await.unwrap();
    assert_eq!(mine.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_webhook_that_leads_to_our_hooks_names_no_other_tenant() {
    let t = start(&[]).await;
    let acme = token_of(&t, "acme", 1).await;
    for (given, tenant) in [
        (format!("{}/hooks/fal?tenant=beta", t.url), "tenant%3Dacme"),
        ("https://app.example.com/told?tenant=beta".to_owned(), "tenant%3Dbeta"),
    ] {
        let encoded: String = url::form_urlencoded::byte_serialize(given.as_bytes()).collect();
        let target = format!("{QUEUE}?fal_webhook={encoded}");
        let reply = call(&t, &acme, Method::POST, &target).json(&json!({"prompt": "x"})).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        let sent = t.sim.calls().pop().unwrap().query;
        assert!(sent.matches("fal_webhook=").count() == 1 && sent.contains(tenant), "{sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h14_who_merely_registers_an_id_gets_nothing_of_it_through_the_proxy() {
    let t = start(&[("poll_after", "1h")]).await;
    let eve = token_of(&t, "eve", 3).await;
    // Submitted past us, by whoever has the key.
    let submit = t.client.post(format!("{}/fal-ai/veo3", t.sim.queue_url())).json(&json!({"prompt": "theirs"}));
    let submitted = submit.header("authorization", format!("Key {}", super::KEY)).send().await.unwrap();
    let submitted: Value = submitted.json().await.unwrap();
    let id = submitted["request_id"].as_str().unwrap();
    let register = async || {
        let request = t.client.post(format!("{}/api/v1/generations", t.url)).bearer_auth(&eve);
        request.json(&json!({"request_id": id, "model": "fal-ai/veo3"})).send().await.unwrap().status()
    };
    assert_eq!(register().await, 200);
    let asked = t.sim.calls().len();
    for (method, path) in
        [(Method::GET, ""), (Method::GET, "/response"), (Method::GET, "/status"), (Method::PUT, "/cancel")]
    {
        let reply = call(&t, &eve, method, &format!("{QUEUE}/requests/{id}{path}")).send().await.unwrap();
        assert_eq!(problem(reply).await, (404, "not_found".to_owned()), "{path}");
    }
    assert_eq!(t.sim.calls().len(), asked, "fal was not even asked");
    // The one whose it is says so by the webhook's URL, and eve's word yields.
    let source = t.sim.add_file("a.mp4", fal_sim::Media::named("silent.mp4"));
    assert_eq!(t.hook(id, &source, "?tenant=acme").await.status(), 200);
    assert_eq!(register().await, 200);
    let acme = token_of(&t, "acme", 1).await;
    for (token, passes) in [(&eve, false), (&acme, true)] {
        let reply = call(&t, token, Method::GET, &format!("{QUEUE}/requests/{id}/status")).send().await.unwrap();
        assert_eq!(reply.status().is_success(), passes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h43_one_tenants_bodies_leave_disk_for_others() {
    let t = start(&[("proxy_disk", "4MiB")]).await;
    let tokens = [token_of(&t, "one", 1).await, token_of(&t, "other", 2).await, t.token.clone()];
    let long = |len: usize| json!({"prompt": "x", "image_url": "A".repeat(len)}).to_string();
    // A body of one tenant's that is begun and held, close to all of its share.
    let (sender, held) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(1);
    let stream = futures_util::stream::unfold(held, async |mut held| Some((held.recv().await?, held)));
    let begun = call(&t, &tokens[0], Method::POST, QUEUE).header("content-type", "application/json");
    let begun = tokio::spawn(begun.body(reqwest::Body::wrap_stream(stream)).send());
    let text = long(900_000);
    sender.send(Ok(text[..text.len() - 1].to_owned())).await.unwrap();
    let used = |holds: fn(u64) -> bool| {
        let used = t.app.body_spool.used();
        async move { holds(used).then_some(()) }
    };
    eventually("it waits on the disk", || used(|used| used > 800_000)).await;
    let metrics = t.client.get(format!("{}/metrics", t.url)).send().await.unwrap().text().await.unwrap();
    let taken = metrics.lines().find_map(|line| line.strip_prefix("clipkeep_proxy_disk_bytes "));
    assert!(taken.unwrap().parse::<u64>().unwrap() > 800_000, "{metrics}");
    for (token, len, passes) in [(0, 300_000, false), (1, 300_000, true), (1, 1_200_000, false), (2, 2_000_000, true)] {
        let request = call(&t, &tokens[token], Method::POST, QUEUE).header("content-type", "application/json");
        let reply = request.body(long(len)).send().await.unwrap();
        assert_eq!(reply.status().as_u16(), if passes { 200 } else { 503 }, "{token} {len}");
    }
    sender.send(Ok("}".to_owned())).await.unwrap();
    drop(sender);
    assert_eq!(begun.await.unwrap().unwrap().status(), 200);
    eventually("its room is free again", || used(|used| used == 0)).await;
}
