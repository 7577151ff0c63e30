//! The API hosts as apps see them: direct calls, storage, outages, records.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use fal_sim::{Outage, Sim, SimOptions};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

const KEY: &str = "Key id:secret";

async fn sim() -> Sim {
    let options = SimOptions {
        key: Some("id:secret".into()),
        queue_time: Duration::from_millis(100),
        run_time: Duration::from_millis(100),
        ..SimOptions::default()
    };
    Sim::start(options).await.unwrap()
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

async fn send(request: RequestBuilder) -> Response {
    request.header("authorization", KEY).send().await.unwrap()
}

async fn post(url: String, body: &Value) -> (u16, Value) {
    let response = send(client().post(url).json(body)).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_direct_call_is_answered_with_the_result_and_its_id() {
    let sim = sim().await;
    let url = format!("{}/fal-ai/wan/v2.2-a14b/text-to-video", sim.run_url());
    let response = send(client().post(&url).json(&json!({"prompt": "a fox", "seed": 9}))).await;
    assert_eq!(response.status(), 200);
    assert!(!response.headers()["x-fal-request-id"].is_empty());
    let result: Value = response.json().await.unwrap();
    assert_eq!((result["seed"].as_i64(), result["prompt"].as_str()), (Some(9), Some("a fox")));
    assert_eq!(client().get(result["video"]["url"].as_str().unwrap()).send().await.unwrap().status(), 200);
    let refused = client().post(&url).json(&json!({})).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    let stream = send(client().post(format!("{url}/stream")).json(&json!({"prompt": "x"}))).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let events = stream.text().await.unwrap();
    let data: Vec<Value> =
        events.lines().filter_map(|l| l.strip_prefix("data: ")).map(|d| serde_json::from_str(d).unwrap()).collect();
    assert_eq!((data.len(), data[0]["progress"].as_f64()), (5, Some(0.0)));
    assert!(data[4]["video"]["url"].is_string());
}

#[tokio::test]
async fn any_path_is_told_apart_by_its_host() {
    let sim = sim().await;
    let url = format!("{}/fal-ai/veo3", sim.base_url());
    let queued = send(client().post(&url).header("host", "queue.fal.run").json(&json!({}))).await;
    assert_eq!(queued.json::<Value>().await.unwrap()["status"], "IN_QUEUE");
    let run = send(client().post(&url).header("host", "fal.run").json(&json!({}))).await;
    assert!(run.json::<Value>().await.unwrap()["video"].is_object());
    let tokens = client().post(format!("{}/tokens/", sim.base_url())).header("host", "rest.fal.ai");
    assert!(send(tokens.json(&json!({"allowed_apps": ["veo3"]}))).await.json::<Value>().await.unwrap().is_string());
    let paths: Vec<_> = sim.calls().iter().map(|call| (call.path.clone(), call.status())).collect();
    let expected = [("/queue/fal-ai/veo3", 200), ("/run/fal-ai/veo3", 200), ("/rest/tokens/", 200)];
    assert_eq!(paths, expected.map(|(path, status)| (path.to_owned(), status)));
}

#[tokio::test]
async fn a_token_opens_direct_calls_without_a_key() {
    let sim = sim().await;
    let tokens = format!("{}/tokens/", sim.rest_url());
    let (_, token) = post(tokens.clone(), &json!({"allowed_apps": ["veo3"], "token_expiration": 120})).await;
    let url = format!("{}/fal-ai/veo3?fal_jwt_token={}", sim.run_url(), token.as_str().unwrap());
    assert_eq!(client().post(url).json(&json!({})).send().await.unwrap().status(), 200);
    assert_eq!(post(tokens, &json!({})).await.0, 422);
    let url = format!("{}/storage/auth/token?storage_type=fal-cdn-v3", sim.rest_url());
    let (_, storage) = post(url, &json!({})).await;
    assert_eq!(storage["token_type"], "Bearer");
    assert!(storage["expires_at"].as_str().unwrap().contains('T'));
}

#[tokio::test]
async fn an_upload_stands_under_its_url() {
    let sim = sim().await;
    let initiate = format!("{}/storage/upload/initiate?storage_type=fal-cdn-v3", sim.rest_url());
    let (_, begun) = post(initiate.clone(), &json!({"content_type": "image/png", "file_name": "my cat.png"})).await;
    let (upload_url, file_url) = (begun["upload_url"].as_str().unwrap(), begun["file_url"].as_str().unwrap());
    assert_eq!(client().get(file_url).send().await.unwrap().status(), 404);
    let unsigned = upload_url.split('?').next().unwrap();
    assert_eq!(client().put(unsigned).body("cat").send().await.unwrap().status(), 403);
    assert_eq!(client().put(upload_url).body("cat").send().await.unwrap().status(), 200);
    let stored = client().get(file_url).send().await.unwrap();
    assert_eq!(stored.headers()["content-type"], "image/png");
    assert_eq!(stored.text().await.unwrap(), "cat");
    assert_eq!(post(initiate.replace("fal-cdn-v3", "ftp"), &json!({"content_type": "image/png"})).await.0, 422);
}

#[tokio::test]
async fn a_multipart_upload_needs_all_its_parts_and_their_etags() {
    let sim = sim().await;
    let initiate = format!("{}/storage/upload/initiate-multipart?storage_type=fal-cdn-v3", sim.rest_url());
    let (_, begun) = post(initiate, &json!({"content_type": "video/x-odd", "file_name": "a.mp4"})).await;
    let (url, query) = begun["upload_url"].as_str().unwrap().split_once('?').unwrap();
    let part = |number: u32, body: Vec<u8>| client().put(format!("{url}/{number}?{query}")).body(body).send();
    let mut parts = Vec::new();
    for (number, len) in [(1, 6 << 20), (2, 5 << 20), (3, 10)] {
        let answer = part(number, vec![number as u8; len]).await.unwrap();
        let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({"partNumber": number, "etag": etag}));
        parts.push(json!({"partNumber": number, "etag": etag}));
    }
    let complete =
        |parts: &[Value]| client().post(format!("{url}/complete?{query}")).json(&json!({"parts": parts})).send();
    assert_eq!(complete(&parts[..2]).await.unwrap().status(), 400);
    assert_eq!(complete(&[parts[0].clone(), parts[2].clone(), parts[1].clone()]).await.unwrap().status(), 400);
    assert_eq!(complete(&parts).await.unwrap().status(), 200);
    let file_url = begun["file_url"].as_str().unwrap();
    let range = format!("bytes={}-{}", (6 << 20) - 2, (6 << 20) + 1);
    let stored = client().get(file_url).header("range", range).send().await.unwrap();
    assert_eq!(stored.headers()["content-type"], "application/octet-stream");
    assert_eq!(
        stored.headers()["content-range"],
        format!("bytes {}-{}/{}", (6 << 20) - 2, (6 << 20) + 1, (11 << 20) + 10)
    );
    let by_rest = format!("{}/storage/upload/complete-multipart?storage_type=fal-cdn-v3", sim.rest_url());
    assert_eq!(post(by_rest, &json!({"file_url": file_url, "parts": parts})).await.0, 200);
}

#[tokio::test]
async fn a_huge_input_is_counted_and_hashed_and_its_prompt_known() {
    let sim = sim().await;
    let filler = vec![b'A'; 1 << 20];
    let mut pieces = vec![br#"{"image_url": "data:image/png;base64,"#.to_vec()];
    pieces.extend((0..100).map(|_| filler.clone()));
    pieces.push(br#"", "prompt": "big"}"#.to_vec());
    let len: usize = pieces.iter().map(Vec::len).sum();
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    pieces.iter().for_each(|piece| hash.update(piece));
    let body = futures_util::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    let url = format!("{}/fal-ai/wan/i2v", sim.run_url());
    let response = send(client().post(url).body(reqwest::Body::wrap_stream(body))).await;
    assert_eq!(response.json::<Value>().await.unwrap()["prompt"], "big");
    let call = sim.calls().pop().unwrap();
    assert_eq!(call.body_len(), len as u64);
    assert_eq!(call.body_sha256(), data_encoding::HEXLOWER.encode(hash.finish().as_ref()));
}

#[tokio::test]
async fn outages_answer_stall_and_cut_as_often_as_they_are_told() {
    let sim = sim().await;
    let url = format!("{}/fal-ai/veo3", sim.queue_url());
    sim.set_outages(vec![
        Outage::too_many(7).times(1),
        Outage::no_runner().on("/queue").times(1),
        Outage::cut().on("/queue").times(1),
        Outage::stall(300).times(1),
    ]);
    let limited = send(client().post(&url).json(&json!({}))).await;
    assert_eq!((limited.status().as_u16(), limited.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    let away = send(client().post(&url).json(&json!({}))).await;
    assert_eq!(away.headers()["x-fal-error-type"], "runner_scheduling_failure");
    assert_eq!((away.status().as_u16(), away.json::<Value>().await.unwrap()["detail"].is_string()), (503, true));
    let cut = client().post(&url).header("authorization", KEY).json(&json!({})).send().await;
    assert!(cut.is_err());
    let began = Instant::now();
    assert_eq!(post(url, &json!({})).await.0, 200);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(sim.calls().iter().map(fal_sim::Call::status).collect::<Vec<_>>(), [429, 503, 0, 200]);
}

#[tokio::test]
async fn a_job_can_be_cancelled_in_the_queue_and_while_it_runs() {
    let sim = sim().await;
    let (_, job) = post(format!("{}/fal-ai/veo3", sim.queue_url()), &json!({})).await;
    let cancel = || client().put(job["cancel_url"].as_str().unwrap());
    let answer = send(cancel()).await;
    assert_eq!((answer.status().as_u16(), answer.json::<Value>().await.unwrap()), (200, json!({"status": "OK"})));
    let events = send(client().get(format!("{}/stream?logs=1", job["status_url"].as_str().unwrap()))).await;
    let events = events.text().await.unwrap();
    let last: Value = serde_json::from_str(events.trim_end().rsplit("data: ").next().unwrap()).unwrap();
    assert_eq!((last["status"].as_str(), last["error_type"].as_str()), (Some("COMPLETED"), Some("client_cancelled")));
    assert_eq!(last["logs"][0]["level"], "INFO");
    let result = send(client().get(job["response_url"].as_str().unwrap())).await;
    assert_eq!(result.status(), 499);
    assert_eq!(send(cancel()).await.status(), 400);

    let (_, job) = post(format!("{}/fal-ai/veo3", sim.queue_url()), &json!({})).await;
    let status =
        || async { send(client().get(job["status_url"].as_str().unwrap())).await.json::<Value>().await.unwrap() };
    while status().await["status"] == "IN_QUEUE" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(status().await["logs"].is_null());
    assert_eq!(send(client().put(job["cancel_url"].as_str().unwrap())).await.status(), 202);
}
