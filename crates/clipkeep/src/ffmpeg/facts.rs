//! What ffprobe says, as facts of a clip.

use clipkeep_core::generation::{Kind, MediaInfo};
use serde::Deserialize;

#[derive(Deserialize)]
struct FfprobeOutput {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Default, Deserialize)]
struct Format {
    duration: Option<String>,
}

#[derive(Deserialize)]
struct Stream {
    codec_type: Option<String>,
    codec_name: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    avg_frame_rate: Option<String>,
    duration: Option<String>,
    #[serde(default)]
    side_data_list: Vec<SideData>,
    #[serde(default)]
    disposition: Disposition,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

#[derive(Default, Deserialize)]
struct Disposition {
    #[serde(default)]
    attached_pic: u8,
}

/// Adds what `info` lacks. What we read ourselves stays, and a clip that was
/// taken for a video and has sound alone becomes no video's size.
pub(super) fn add(info: &mut MediaInfo, output: &[u8]) {
    let Ok(output) = serde_json::from_slice::<FfprobeOutput>(output) else { return };
    let of = |kind: &str| {
        let is_main =
            |stream: &&Stream| stream.codec_type.as_deref() == Some(kind) && stream.disposition.attached_pic == 0;
        output.streams.iter().find(is_main)
    };
    let main = match info.kind {
        Kind::Audio => of("audio"),
        _ => of("video").or_else(|| of("audio")),
    };
    let Some(main) = main else { return };
    if info.kind != Kind::Image {
        let duration = output.format.duration.as_deref().or(main.duration.as_deref()).and_then(positive);
        info.duration = info.duration.or(duration);
        info.codec = info.codec.take().or_else(|| main.codec_name.clone().filter(|name| is_name(name)));
    }
    if info.kind == Kind::Audio {
        return;
    }
    if info.width.is_none() || info.height.is_none() {
        let (width, height) = main.shown();
        (info.width, info.height) = (width, height);
    }
    if info.kind == Kind::Video {
        info.fps = info.fps.or_else(|| main.avg_frame_rate.as_deref().and_then(fraction));
    }
}

impl Stream {
    /// The size as it is shown: a quarter turn swaps the sides.
    fn shown(&self) -> (Option<u32>, Option<u32>) {
        let (width, height) = (self.width.filter(|side| *side > 0), self.height.filter(|side| *side > 0));
        let turned = self.side_data_list.iter().filter_map(|side| side.rotation).any(|turn| turn.abs() % 180.0 == 90.0);
        if turned { (height, width) } else { (width, height) }
    }
}

fn positive(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)
}

fn fraction(text: &str) -> Option<f64> {
    let (over, under) = text.split_once('/')?;
    let fraction = positive(over)? / positive(under)?;
    (fraction.is_finite() && fraction < 10_000.0).then_some(fraction)
}

/// Names of codecs are short words.
fn is_name(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use clipkeep_core::media_type::MediaType;

    use super::*;

    fn of(kind: Kind, output: &str) -> MediaInfo {
        let media = MediaType::by_name("video/mp2t").unwrap();
        let mut info = MediaInfo { kind, ..MediaInfo::of(media) };
        add(&mut info, output.as_bytes());
        info
    }

    #[test]
    fn what_is_lacking_is_added_and_garbage_is_not() {
        let output = r#"{"streams": [{"codec_type": "audio", "codec_name": "aac"},
            {"codec_type": "video", "codec_name": "h264", "width": 96, "height": 64, "avg_frame_rate": "24000/1001",
             "side_data_list": [{"rotation": -90}]}], "format": {"duration": "1.500000"}}"#;
        let info = of(Kind::Video, output);
        assert_eq!((info.width, info.height, info.duration), (Some(64), Some(96), Some(1.5)));
        assert_eq!((info.codec.as_deref(), info.fps), (Some("h264"), Some(24000.0 / 1001.0)));
        assert_eq!(of(Kind::Audio, output).codec.as_deref(), Some("aac"));
        assert_eq!(of(Kind::Image, output).duration, None);
        for garbage in [
            "",
            "no JSON",
            r#"{"streams": 7}"#,
            r#"{"streams": [{"codec_type": "video", "codec_name": "<script>", "width": 0, "avg_frame_rate": "1/0"}],
                "format": {"duration": "inf"}}"#,
            r#"{"streams": [], "format": {"duration": "N/A"}}"#,
        ] {
            let info = of(Kind::Video, garbage);
            assert_eq!((info.codec, info.duration, info.width, info.fps), (None, None, None, None), "{garbage}");
        }
    }
}
