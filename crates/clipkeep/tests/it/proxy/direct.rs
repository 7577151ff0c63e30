//! Direct calls, uploads and tokens.

use std::{sync::Arc, time::Duration};

use clipkeep::catalog::ClipFilter;
use clipkeep_core::{
    generation::Clip,
    prompt::prompt_hash,
    state::{ClipState, GenerationStatus},
};
use fal_sim::{Media, Outage};
use reqwest::Method;
use serde_json::{Value, json};

use super::{call, clean, generation, media, of_fal, play, problem, sim, start};
use crate::support::app::TestApp;

async fn run(t: &TestApp, input: &Value) -> reqwest::Response {
    let request =
        call(t, Method::POST, "https://fal.run/fal-ai/sora-2/text-to-video").header("x-clipkeep-tenant", "acme");
    request.json(input).send().await.unwrap()
}

/// The first clip that came from this prompt.
async fn clip_of(t: &TestApp, prompt: &str) -> Clip {
    let filter = ClipFilter { prompt_hash: Some(prompt_hash(prompt)), ..ClipFilter::default() };
    let began = tokio::time::Instant::now();
    loop {
        let page = t.app.catalog.clips(&filter, None, 10).await.unwrap();
        if let Some(clip) = page.clips.into_iter().find(|clip| clip.index == 0) {
            return clip;
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "no clip of «{prompt}»");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_calls_result_is_captured_and_holds_our_urls() {
    let t = start(&[]).await;
    let input = json!({"prompt": "a direct fox", "seed": 5});
    let reply = run(&t, &input).await;
    let id = json!(reply.headers()["x-fal-request-id"].to_str().unwrap());
    let result: Value = serde_json::from_str(&clean(&t, reply).await).unwrap();
    let known = generation(&t, &id).await.unwrap();
    assert_eq!(known.status, GenerationStatus::Completed);
    assert_eq!(known.facts.model.as_deref(), Some("fal-ai/sora-2/text-to-video"));
    assert_eq!(known.facts.tenant.as_ref().map(|tenant| tenant.as_str()), Some("acme"));
    assert_eq!((known.facts.seed, known.facts.input), (Some(5_i64.into()), Some(input.into())));
    assert_eq!(play(&t, &result["video"]["url"]).await, media("moov-first.mp4"));
    assert_eq!(play(&t, &result["thumbnail"]["url"]).await, media("still.jpg"));
    t.until(&format!("{}.mp4", id.as_str().unwrap()), ClipState::Stored).await;
    assert_eq!(t.sim.calls()[0].query, "", "only the queue takes webhooks");
}

/// A result as no model of the simulator's gives it.
fn odd_result(t: &TestApp) -> (String, String, String) {
    let (source, input) = ["a.mp4", "b.mp4"].map(|name| t.sim.add_file(name, Media::named("silent.mp4"))).into();
    let escaped = source.replace('/', "\\/").replace("files", "fi\\u006Ces");
    let body = format!(
        r#" {{"out" : [[{{"deep":{{"video":{{"url":"{escaped}"}}}}}}]],"again":["{source}",1.50,null],
        "{source}":1, "note":"see x{source}", "input":{{"video_url":"{input}"}},"big":12345678901234567890123}}"#
    );
    (source, input, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_replaced_wherever_they_stand_however_they_are_written() {
    let t = start(&[("public", "true")]).await;
    let (source, input, body) = odd_result(&t);
    let answer = Outage::status(200, &body).header("x-fal-request-id", "odd-1").header("x-fal-billable-units", "3");
    let answer = answer.header("link", &format!("<{source}>; rel=preload")).header("x-output", &source);
    t.sim.set_outages(vec![answer.on("/run")]);
    let reply = run(&t, &json!({"prompt": "odd"})).await;
    assert_eq!(reply.headers()["x-fal-billable-units"], "3");
    assert!(reply.headers().get("link").is_none() && reply.headers().get("x-output").is_none());
    let text = reply.text().await.unwrap();
    let ours = format!("{}/v/odd-1.mp4", t.url);
    let escaped = source.replace('/', "\\/").replace("files", "fi\\u006Ces");
    // All other bytes are as they were; so is what the app itself uploaded, and
    // a string that merely holds the URL.
    let expected = body.replace(&escaped, &ours).replace(&format!("\"{source}\""), &format!("\"{ours}\""));
    assert_eq!(text, expected);
    assert!(text.contains(&input));
    play(&t, &json!(ours)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_came_later_than_the_stored_one_is_replaced_too() {
    let t = start(&[]).await;
    let [first, later] = ["a.mp4", "b.mp4"].map(|name| t.sim.add_file(name, Media::named("silent.mp4")));
    let answer = |url: &str| {
        Outage::status(200, &json!({"video": {"url": url}}).to_string()).header("x-fal-request-id", "again-1")
    };
    t.sim.set_outages(vec![answer(&first).times(1), answer(&later)]);
    let one: Value = serde_json::from_str(&clean(&t, run(&t, &json!({})).await).await).unwrap();
    t.until("again-1.mp4", ClipState::Stored).await;
    let two: Value = serde_json::from_str(&clean(&t, run(&t, &json!({})).await).await).unwrap();
    assert_eq!(one, two);
    play(&t, &two["video"]["url"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rewriting_a_result_passes_as_it_is_and_is_recorded() {
    let t = start(&[("rewrite_results", "false")]).await;
    let (_, _, body) = odd_result(&t);
    t.sim.set_outages(vec![Outage::status(200, &body).header("x-fal-request-id", "odd-2").on("/run")]);
    let reply = run(&t, &json!({"prompt": "odd"})).await;
    assert_eq!(reply.headers()["content-length"], body.len().to_string().as_str());
    assert_eq!(reply.text().await.unwrap(), body);
    t.until("odd-2.mp4", ClipState::Stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_an_id_gets_one_of_ours_and_what_is_no_json_passes() {
    let t = start(&[]).await;
    let (_, _, body) = odd_result(&t);
    let mut page = Outage::status(200, "<html>\"");
    page.headers = vec![("content-type".into(), "text/html".into())];
    t.sim.set_outages(vec![Outage::status(200, &body).times(1), page.times(1), Outage::status(200, "{not json")]);
    run(&t, &json!({"prompt": "no id"})).await.text().await.unwrap();
    let clip = clip_of(&t, "no id").await;
    assert!(clip.request_id.as_str().starts_with("direct-") && clip.request_id.as_str().len() > 30);
    let reply = run(&t, &json!({"prompt": "page"})).await;
    assert_eq!((&reply.headers()["content-type"], reply.status().as_u16()), (&"text/html".parse().unwrap(), 200));
    assert_eq!(reply.text().await.unwrap(), "<html>\"");
    assert_eq!(run(&t, &json!({"prompt": "page"})).await.text().await.unwrap(), "{not json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_passes_and_its_result_holds_our_url() {
    let t = start(&[]).await;
    let request = call(&t, Method::POST, "https://fal.run/fal-ai/veo3/stream").json(&json!({"prompt": "a stream"}));
    let mut reply = request.send().await.unwrap();
    assert_eq!(reply.headers()["content-type"], "text/event-stream");
    let id = reply.headers()["x-fal-request-id"].to_str().unwrap().to_owned();
    let first = reply.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("progress") && !first.windows(5).any(|w| w == b"video"));
    let text = clean(&t, reply).await;
    let last: Value = serde_json::from_str(text.trim().rsplit_once("data:").unwrap().1).unwrap();
    let known = generation(&t, &json!(id)).await.unwrap();
    assert_eq!((known.status, known.facts.model.as_deref()), (GenerationStatus::Completed, Some("fal-ai/veo3")));
    play(&t, &last["video"]["url"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_event_with_files_is_the_result() {
    let t = start(&[]).await;
    let [preview, last] = ["a.mp4", "b.mp4"].map(|name| t.sim.add_file(name, Media::named("silent.mp4")));
    let body = format!(
        "data: {{\"video\":{{\"url\":\"{preview}\"}}}}\n\nevent: x\ndata: {{\"progress\":1}}\n\n\
         data: {{\"video\":{{\"url\":\"{last}\"}}}}\n\ndata: [DONE]\n\n"
    );
    let mut answer = Outage::status(200, &body).header("x-fal-request-id", "s-1");
    answer.headers[0].1 = "text/event-stream".into();
    t.sim.set_outages(vec![answer]);
    let text = run(&t, &json!({"prompt": "previews"})).await.text().await.unwrap();
    let clip = t.until("s-1.mp4", ClipState::Stored).await;
    assert_eq!(clip.source_url.expose(), last);
    let ours = text.split('"').find(|part| part.contains("/v/s-1.mp4?")).unwrap();
    assert_eq!(text, body.replace(&last, ours));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_19_a_stream_that_breaks_off_has_no_result() {
    let t = start(&[]).await;
    let preview = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    let body = format!("data: {{\"video\":{{\"url\":\"{preview}\"}}}}\n\n");
    let mut answer = Outage::status(200, &body).header("x-fal-request-id", "s-1").then_cut();
    answer.headers[0].1 = "text/event-stream".into();
    t.sim.set_outages(vec![answer]);
    let broken = run(&t, &json!({"prompt": "a cut"})).await.text().await;
    assert!(broken.is_err(), "{broken:?}");
    let generation = t.app.catalog.generation(&"s-1".parse().unwrap()).await.unwrap();
    assert!(generation.is_none_or(|row| row.status != GenerationStatus::Completed));
    assert!(t.app.catalog.clip(&"s-1.mp4".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn i10_an_app_that_leaves_does_not_lose_what_it_paid_for() {
    let t = start(&[]).await;
    t.sim.set_outages(vec![Outage::stall(500).times(1)]);
    let prompt = json!({"prompt": "a left fox"});
    let left = tokio::time::timeout(Duration::from_millis(200), run(&t, &prompt)).await;
    assert!(left.is_err(), "it left");
    assert_eq!(t.sim.calls().len(), 1);
    assert_eq!(clip_of(&t, "a left fox").await.facts.input, Some(prompt.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn i07_apps_that_leave_cannot_pile_up_calls() {
    let t = start(&[("max_connections", "3")]).await;
    t.sim.set_outages(vec![Outage::stall(10_000).times(3)]);
    let input = json!({"prompt": "x"});
    for asked in 1..=3 {
        let leaves = async {
            while t.sim.calls().len() < asked {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            _ = run(&t, &input) => panic!("it stalls"),
            () = leaves => {}
        }
    }
    let refused = run(&t, &input).await;
    assert_eq!(problem(refused).await, (503, "unavailable".to_owned()));
    let began = tokio::time::Instant::now();
    while run(&t, &input).await.status() != 200 {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_tokens_pass() {
    let sim = sim().await;
    let t = TestApp::on(sim.clone(), Arc::new(tempfile::tempdir().unwrap()), &of_fal(&sim), &[]).await;
    for (path, body) in [
        ("storage/upload/initiate?storage_type=fal-cdn-v3", json!({"content_type": "image/png", "file_name": "a.png"})),
        (
            "storage/upload/initiate-multipart?storage_type=fal-cdn-v3",
            json!({"content_type": "image/png", "file_name": "a.png"}),
        ),
    ] {
        let reply = call(&t, Method::POST, &format!("https://rest.fal.ai/{path}")).json(&body).send().await.unwrap();
        assert_eq!(reply.status(), 200, "{path}");
        let reply: Value = reply.json().await.unwrap();
        assert!(reply["upload_url"].is_string() && reply["file_url"].is_string(), "{reply}");
    }
    let body = json!({"allowed_apps": ["veo3"], "token_expiration": 120});
    let reply = call(&t, Method::POST, "https://rest.fal.ai/tokens/").json(&body).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert!(reply.json::<Value>().await.unwrap().is_string());
    let paths: Vec<_> = sim.calls().into_iter().map(|call| call.path).collect();
    assert_eq!(paths, ["/rest/storage/upload/initiate", "/rest/storage/upload/initiate-multipart", "/rest/tokens/"]);
}
