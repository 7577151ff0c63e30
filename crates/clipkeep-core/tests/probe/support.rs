//! Clips from ffmpeg, facts from ffprobe.

use std::{
    io::Cursor,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use clipkeep_core::{
    generation::{Kind, MediaInfo},
    probe::{Length, ProbeError, probe},
    sniff::{Sniffed, sniff},
};
use serde_json::Value;

pub(crate) const PICTURE: &str = "testsrc=size=96x64:rate=24:duration=2,format=yuv420p";
pub(crate) const SOUND: &str = "sine=frequency=440:duration=2";

pub(crate) fn run(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} must be installed: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A clip of a moving picture and a tone, made with the given output options.
pub(crate) fn make(name: &str, options: &str) -> (tempfile::TempDir, PathBuf) {
    make_from(name, &["-f", "lavfi", "-i", PICTURE, "-f", "lavfi", "-i", SOUND], options)
}

pub(crate) fn make_from(name: &str, inputs: &[&str], options: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    let mut args = vec!["-v", "error", "-y"];
    args.extend(inputs);
    args.extend(options.split_whitespace());
    args.push(path.to_str().unwrap());
    run("ffmpeg", &args);
    (dir, path)
}

pub(crate) fn probe_bytes(bytes: &[u8]) -> Result<MediaInfo, ProbeError> {
    probe_as(bytes, Length::Unknown)
}

pub(crate) fn probe_as(bytes: &[u8], length: Length) -> Result<MediaInfo, ProbeError> {
    let Sniffed::Media(media) = sniff(bytes) else { panic!("not sniffed as media") };
    probe(&mut Cursor::new(bytes), bytes.len() as u64, length, media)
}

pub(crate) fn probe_file(path: &Path) -> MediaInfo {
    probe_bytes(&std::fs::read(path).unwrap()).unwrap()
}

/// What ffprobe says: the container, and the first video stream or else the first stream.
pub(crate) struct Told {
    pub(crate) duration: Option<f64>,
    stream: Value,
}

pub(crate) fn ffprobe(path: &Path) -> Told {
    let args = ["-v", "error", "-of", "json", "-show_format", "-show_streams", path.to_str().unwrap()];
    let told: Value = serde_json::from_slice(&run("ffprobe", &args)).unwrap();
    let streams = told["streams"].as_array().unwrap();
    let video = streams.iter().find(|stream| stream["codec_type"] == "video");
    Told {
        duration: told["format"]["duration"].as_str().map(|text| text.parse().unwrap()),
        stream: video.unwrap_or(&streams[0]).clone(),
    }
}

impl Told {
    /// The average, except of fragments: of those ffprobe reads only the first.
    fn fps(&self, name: &str) -> Option<f64> {
        let (over, under) = self.stream[name].as_str()?.split_once('/')?;
        let (over, under): (f64, f64) = (over.parse().unwrap(), under.parse().unwrap());
        (under > 0.0).then(|| over / under)
    }

    /// As displayed: ffprobe tells the stored size and the turn.
    pub(crate) fn size(&self) -> Option<(u64, u64)> {
        let (width, height) = (self.stream["width"].as_u64()?, self.stream["height"].as_u64()?);
        let sides = self.stream["side_data_list"].as_array();
        let turn = sides.and_then(|sides| sides.iter().find_map(|side| side["rotation"].as_i64())).unwrap_or(0);
        Some(if turn % 180 == 0 { (width, height) } else { (height, width) })
    }

    /// The start of the RFC 6381 string that ffprobe's facts lead to.
    fn codec(&self) -> String {
        let level = self.stream["level"].as_i64().unwrap_or(0);
        match self.stream["codec_name"].as_str().unwrap() {
            "h264" => {
                let profile = match self.stream["profile"].as_str().unwrap() {
                    "High" => 100,
                    "Main" => 77,
                    "Constrained Baseline" => 66,
                    other => panic!("{other}"),
                };
                format!("avc1.{profile:02x}??{level:02x}")
            }
            "hevc" => format!("hvc1.1.6.L{level}*"),
            "aac" => "mp4a.40.2".to_owned(),
            "vp9" => "vp9".to_owned(),
            "vp8" => "vp8".to_owned(),
            "av1" => "av01.0.*".to_owned(),
            other => other.to_owned(),
        }
    }
}

/// `?` is any byte, `*` any rest.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => text.len() == pattern.len() && pattern.bytes().zip(text.bytes()).all(|(p, t)| p == b'?' || p == t),
    }
}

pub(crate) fn assert_close(ours: Option<f64>, theirs: Option<f64>, tolerance: f64, what: &str) {
    let close = match (ours, theirs) {
        (Some(ours), Some(theirs)) => (ours - theirs).abs() <= tolerance,
        (None, None) => true,
        _ => false,
    };
    assert!(close, "{what}: ours {ours:?}, ffprobe's {theirs:?}");
}

/// All facts of the file are ffprobe's.
pub(crate) fn check(path: &Path, content_type: &str) {
    check_with(path, content_type, "avg_frame_rate");
}

pub(crate) fn check_with(path: &Path, content_type: &str, fps_name: &str) {
    let (ours, theirs) = (probe_file(path), ffprobe(path));
    assert_eq!(ours.content_type, content_type);
    assert_close(ours.duration, theirs.duration, 0.05, "duration");
    let is_video = theirs.stream["codec_type"] == "video";
    assert_eq!(ours.kind, if is_video { Kind::Video } else { Kind::Audio });
    assert_close(ours.fps, theirs.fps(fps_name).filter(|_| is_video), 0.01, "fps");
    let size = ours.width.zip(ours.height).map(|(width, height)| (width.into(), height.into()));
    assert_eq!(size, theirs.size());
    let codec = ours.codec.unwrap();
    assert!(fits(&theirs.codec(), &codec), "codec: ours {codec}, ffprobe's {}", theirs.codec());
}

pub(crate) fn check_made(name: &str, options: &str, content_type: &str) {
    let (_dir, path) = make(name, options);
    check(&path, content_type);
}

/// One small clip of each layout, made once.
pub(crate) fn samples() -> &'static [Vec<u8>] {
    static SAMPLES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let options = [
            ("x.mp4", "-t 1 -c:v libx264 -bf 2 -c:a aac -movflags +faststart"),
            ("x.mp4", "-t 1 -c:v libx264 -c:a aac"),
            ("x.mp4", "-t 1 -c:v libx264 -g 6 -c:a aac -movflags frag_keyframe+empty_moov"),
            ("x.webm", "-t 1 -c:v libvpx -deadline realtime -c:a libopus"),
        ];
        options.map(|(name, options)| std::fs::read(make(name, options).1).unwrap()).into()
    })
}

/// One small file of each format that has a reader of its own.
pub(crate) fn every_format() -> &'static [Vec<u8>] {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let names = [
            "x.mkv", "x.avi", "x.flv", "x.webp", "x.gif", "x.png", "x.jpg", "x.bmp", "x.tif", "x.wav", "x.flac",
            "x.mp3", "x.ogg", "x.opus", "x.aiff", "x.caf", "x.aac", "x.ac3",
        ];
        let still = |name: &str| matches!(&name[2..], "webp" | "png" | "jpg" | "bmp" | "tif");
        let made = names.map(|name| {
            let options = if still(name) { "-frames:v 1 -an" } else { "-t 0.3" };
            std::fs::read(make(name, options).1).unwrap()
        });
        made.into()
    })
}
