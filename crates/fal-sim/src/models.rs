//! What each family of models answers.

use serde_json::{Value, json};

use crate::{media::Media, server::Sim};

/// The payload of a finished job: its files stand on the media host.
pub(crate) fn payload(sim: &Sim, model: &str, input: &Value) -> Value {
    let seed = input.get("seed").and_then(Value::as_i64).unwrap_or(42);
    let file = |name: &str| file(sim, name);
    let has = |word: &str| model.contains(word);
    if has("flux") || has("banana") {
        let images = json!([image(sim, "still.png"), image(sim, "still.jpg")]);
        return json!({"images": images, "seed": seed, "timings": {"inference": 1.2}, "has_nsfw_concepts": [false, false]});
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
    let video = match model {
        _ if has("kling") => "moov-first.mp4",
        _ if has("minimax") => "silent.mp4",
        _ if has("wan") => "fragmented.mp4",
        _ if has("ltx") => "clip.webm",
        _ if has("luma") => "portrait.mov",
        _ => "moov-last.mp4",
    };
    json!({"video": file(video), "seed": seed})
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
