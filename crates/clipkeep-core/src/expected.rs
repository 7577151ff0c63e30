//! Which clips a generation will have, as far as its input tells.

use serde_json::Value;

use crate::{
    id::{ClipKey, RequestId},
    media_type::MediaType,
};

/// The most clips that an input is believed to ask for.
const MOST: u64 = 16;

/// Where inputs say in which format the output is to be.
const FORMATS: &[&str] = &["output_format", "video_output_type"];
/// Where inputs say how many outputs there are to be.
const COUNTS: &[&str] = &["num_images", "num_videos", "num_outputs"];

/// The keys of the clips that a generation is going to have: as many as its
/// input asks for, in the format that it asks for. Where it asks for none it is
/// taken to have one MP4, as nearly all have.
pub fn keys(request_id: &RequestId, input: Option<&Value>) -> Vec<ClipKey> {
    let told = |names: &[&str]| names.iter().find_map(|name| input?.get(name));
    let format = told(FORMATS).and_then(Value::as_str).map(str::to_ascii_lowercase);
    let Some(media) = format.as_deref().and_then(MediaType::by_ending) else {
        return vec![ClipKey::new(request_id, 0, "mp4")];
    };
    let count = told(COUNTS).and_then(Value::as_u64).unwrap_or(1).clamp(1, MOST);
    (0..u32::try_from(count).unwrap_or(1)).map(|index| ClipKey::new(request_id, index, media.ending)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(input: &Value, expected: &[&str]) {
        let keys = keys(&"r".parse().unwrap(), Some(input));
        assert_eq!(keys.iter().map(ClipKey::as_str).collect::<Vec<_>>(), expected, "{input}");
    }

    #[test]
    fn an_input_may_tell_how_many_and_of_what_sort() {
        check(&json!({"prompt": "a fox"}), &["r.mp4"]);
        check(&json!({"video_output_type": "webm"}), &["r.webm"]);
        check(&json!({"output_format": "JPEG", "num_images": 3}), &["r.jpg", "r.1.jpg", "r.2.jpg"]);
        check(&json!({"output_format": "png", "num_images": 0}), &["r.png"]);
        check(&json!({"output_format": "png", "num_images": 99}).clone(), &keys_of(16));
        // Of what sort the four are is not known.
        check(&json!({"num_images": 4}), &["r.mp4"]);
        check(&json!({"output_format": "pcm_44100"}), &["r.mp4"]);
        check(&json!([1]), &["r.mp4"]);
        assert_eq!(keys(&"r".parse().unwrap(), None).len(), 1);
    }

    fn keys_of(count: u32) -> Vec<&'static str> {
        let all = (0..count).map(|index| ClipKey::new(&"r".parse().unwrap(), index, "png").to_string());
        all.map(|key| &*key.leak()).collect()
    }
}
