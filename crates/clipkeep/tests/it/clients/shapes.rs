//! Where in a result files stand, and what is none of ours in it.

use serde_json::{Value, json};

use super::{App, assert_kept, assert_no_source, given, node, text};

/// Every URL in a value, with its place.
fn urls(value: &Value, place: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| urls(value, &format!("{place}/{name}"), found))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| urls(item, &format!("{place}/{i}"), found))
        }
        Value::String(text) if text.starts_with("http") => found.push((place.to_owned(), text.clone())),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_ours_wherever_it_stands() {
    let t = node(&[]).await;
    let app = App::js_by_proxy(&t);
    for (model, places) in [
        ("fal-ai/transpixar", &["/videos/0/url", "/videos/1/url"][..]),
        ("fal-ai/ffmpeg-api/compose", &["/thumbnail_url", "/video_url"]),
        ("workflows/acme/film", &["/output/scenes/0/take/video/url"]),
        ("fal-ai/elevenlabs/tts/eleven-v3", &["/audio/url"]),
        ("fal-ai/luma-dream-machine/ray-2", &["/video/url"]),
        ("fal-ai/ltx-2", &["/video/url"]),
    ] {
        for scenario in ["subscribe", "run"] {
            let seen = app.run(scenario, &given(model)).await;
            assert_no_source(&t, &seen);
            let mut found = Vec::new();
            urls(&seen["data"], "", &mut found);
            assert_eq!(found.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(), places, "{scenario} {model}");
            for (_, url) in found {
                assert_kept(&t, &url, model, None).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_of_the_input_is_no_clip_and_stays() {
    let t = node(&[]).await;
    let app = App::js_by_proxy(&t);
    let first = app.run("run", &given("fal-ai/veo3")).await;
    let (first, key) = (text(&first, "/data/video/url"), format!("{}.mp4", text(&first, "/requestId")));
    assert_kept(&t, first, "fal-ai/veo3", None).await;
    let source = t.app.catalog.clip(&key.parse().unwrap()).await.unwrap().unwrap().source_url;
    // What the app gives in: a stranger's, one of ours, and a source of fal's.
    for input in ["https://example.com/in.mp4", first, source.expose()] {
        for scenario in ["subscribe", "run"] {
            let given = json!({"model": "fal-ai/topaz/upscale/video", "input": {"video_url": input}});
            let seen = app.run(scenario, &given).await;
            assert_eq!(text(&seen, "/data/input/video_url"), input, "{scenario}");
            assert!(text(&seen, "/data/video/url").starts_with(&t.url), "{scenario}: {seen}");
            let clips = t.api(&format!("/api/v1/clips?request_id={}", text(&seen, "/requestId"))).await;
            assert_eq!(clips["clips"].as_array().unwrap().len(), 1, "{scenario} {input}: {clips}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inline_data_passes_untouched() {
    let t = node(&[]).await;
    let mut given = given("fal-ai/flux/dev");
    given["input"]["sync_mode"] = json!(true);
    for scenario in ["subscribe", "run"] {
        let seen = App::js_by_proxy(&t).run(scenario, &given).await;
        for (image, name) in [("/data/images/0/url", "still.png"), ("/data/images/1/url", "still.jpg")] {
            let (_, data) = text(&seen, image).split_once(";base64,").unwrap();
            let media = fal_sim::Media::named(name);
            assert_eq!(data_encoding::BASE64.decode(data.as_bytes()).unwrap(), media.chunk(0..media.len()));
        }
        let row = t.api(&format!("/api/v1/generations/{}", text(&seen, "/requestId"))).await;
        assert_eq!(text(&row, "/model"), "fal-ai/flux/dev");
    }
}
