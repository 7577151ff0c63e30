//! What each family of models answers.

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::{media::Media, server::Sim};

/// The payload of a finished job: its files stand on the media host, or in the
/// payload itself if the input wants them so (`sync_mode`): then they stand
/// nowhere else.
pub(crate) fn payload(sim: &Sim, model: &str, input: &Value) -> Value {
    let mut payload = of_model(sim, model, input);
    if input["sync_mode"] == json!(true) {
        inline(sim, &mut payload);
    }
    payload
}

/// Puts the bytes of files in place of their URLs, which lead nowhere any more.
fn inline(sim: &Sim, value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| inline(sim, item)),
        Value::Object(members) => {
            for (name, member) in members {
                let media = member.as_str().filter(|_| name.ends_with("url")).and_then(|url| sim.take_file(url));
                match media {
                    Some(media) => {
                        let mut all = Vec::new();
                        while (all.len() as u64) < media.len() {
                            all.extend_from_slice(&media.chunk(all.len() as u64..media.len()));
                        }
                        *member = json!(format!("data:{};base64,{}", media.content_type, BASE64.encode(&all)));
                    }
                    None => inline(sim, member),
                }
            }
        }
        _ => {}
    }
}

fn of_model(sim: &Sim, model: &str, input: &Value) -> Value {
    let seed = input.get("seed").and_then(Value::as_i64).unwrap_or(42);
    let file = |name: &str| file(sim, name);
    let has = |word: &str| model.contains(word);
    if has("flux") || has("banana") {
        return images(sim, input, seed);
    }
    if has("elevenlabs") || has("tts") {
        return json!({"audio": file("tone.mp3")});
    }
    if has("sora") {
        return json!({"video": file("moov-first.mp4"), "video_id": "video_1", "thumbnail": image(sim, "still.jpg")});
    }
    if has("transpixar") {
        return json!({"videos": [file("moov-first.mp4"), file("silent.mp4")], "seed": seed});
    }
    if has("ffmpeg-api/compose") {
        let (video, still) = (sim.add_file("clip.mp4", Media::named("moov-last.mp4")), image(sim, "still.jpg"));
        return json!({"video_url": video, "thumbnail_url": still["url"]});
    }
    if has("lipsync") || has("topaz") {
        return json!({"video": file("moov-first.mp4"), "input": {"video_url": input["video_url"]}});
    }
    if has("workflows/") {
        return json!({"output": {"scenes": [{"take": {"video": file("moov-first.mp4")}}]}});
    }
    if has("wan") {
        let said = if has("wan-25") { "actual_prompt" } else { "prompt" };
        return json!({"video": file("fragmented.mp4"), "seed": seed, said: input["prompt"]});
    }
    let video = match model {
        _ if has("kling") => "moov-first.mp4",
        _ if has("minimax") => "silent.mp4",
        _ if has("ltx") => "clip.webm",
        _ if has("luma") => "portrait.mov",
        _ => "moov-last.mp4",
    };
    json!({"video": file(video), "seed": seed})
}

fn images(sim: &Sim, input: &Value, seed: i64) -> Value {
    let image = |name: &str| image(sim, name);
    json!({
        "images": [image("still.png"), image("still.jpg")], "seed": seed, "timings": {"inference": 1.2},
        "has_nsfw_concepts": [false, false], "prompt": input["prompt"],
    })
}

/// A File object as fal sends it: half of its fields are null.
fn file(sim: &Sim, name: &str) -> Value {
    let media = Media::named(name);
    let content_type = media.content_type;
    json!({"url": sim.add_file(name, media), "content_type": content_type, "file_name": name, "file_size": null})
}

fn image(sim: &Sim, name: &str) -> Value {
    let mut image = file(sim, name);
    image["width"] = json!(320);
    image["height"] = json!(180);
    image
}
