//! Every file that Debian's ffmpeg writes goes through a node: stored, byte for
//! byte, with ffprobe's facts; and what is moved for viewers plays the same.

mod make;
mod table;

use std::collections::BTreeMap;

use bytes::Bytes;
use clipkeep_core::{
    generation::{Clip, MediaInfo},
    media_type::MediaType,
    state::ClipState,
    view::View,
};
use fal_sim::Media;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use self::make::{Made, run};
use crate::support::app::TestApp;

/// Facts that differ from ffprobe's, by the start of a file's name, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("mp4 mjpeg", "codec", "the sample description says MPEG-4 visual, as RFC 6381 strings do"),
    ("avi", "kind", "the container has one media type, whatever is in it"),
    ("flv", "kind", "the container has one media type, whatever is in it"),
    ("ts", "kind", "the container has one media type, whatever is in it"),
    ("3gp h263", "size", "its pixels are not square: ours is the size as shown, ffprobe's the stored one"),
];

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_ffmpeg_writes_is_kept_with_its_facts() {
    let files = tokio::task::spawn_blocking(make::all).await.unwrap();
    assert!(files.len() > 300, "only {} files", files.len());
    let t = TestApp::with(&[("ffmpeg", "ffmpeg".to_owned())]).await;
    let checked = stream::iter(files.iter().enumerate()).map(|(nth, made)| check(&t, nth, made));
    let wrong: Vec<String> = checked.buffer_unordered(8).filter_map(|wrong| async { wrong }).collect().await;
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), files.len(), wrong.join("\n"));
    t.stop().await;
}

/// What is wrong with one file, if anything is.
async fn check(t: &TestApp, nth: usize, made: &Made) -> Option<String> {
    let bytes = Bytes::from(std::fs::read(&made.path).unwrap());
    let ending = made.path.extension()?.to_str()?;
    let media = Media::new("application/octet-stream", bytes.clone());
    let source = t.sim.add_file(&format!("out.{ending}"), media);
    let id = format!("corpus-{nth}");
    let payload = json!({"file": {"url": source, "content_type": "application/octet-stream"}});
    assert_eq!(t.hook_payload(&id, &payload, "").await.status(), 200);
    let Some(clip) = ended(t, &id, ending).await else { return Some(format!("{}: no clip", made.name)) };
    let Some(sealed) = clip.sealed.as_ref().filter(|_| clip.state == ClipState::Stored) else {
        return Some(format!("{}: {} {:?}", made.name, clip.state, clip.last_error));
    };
    let object = std::fs::read(t.app.store.local_path(clip.object()).unwrap()).unwrap();
    let mut wrong = differences(made, &sealed.media);
    if object != bytes {
        wrong.push("the stored bytes are others".to_owned());
    }
    if matches!(clip.view, Some(View::FastStart(_))) {
        wrong.extend(moved(t, made, &clip).await);
    }
    (!wrong.is_empty()).then(|| format!("{}: {}", made.name, wrong.join("; ")))
}

/// The clip, once its fill is over.
async fn ended(t: &TestApp, id: &str, ending: &str) -> Option<Clip> {
    let key = format!("{id}.{}", MediaType::by_ending(ending)?.ending).parse().ok()?;
    let began = tokio::time::Instant::now();
    loop {
        let clip = t.app.catalog.clip(&key).await.unwrap()?;
        if !matches!(clip.state, ClipState::Waiting | ClipState::Filling) || clip.misses > 0 {
            return Some(clip);
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{key} does not end: {clip:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Whether each packet of the clip as viewers get it is the file's.
async fn moved(t: &TestApp, made: &Made, clip: &Clip) -> Option<String> {
    let url = t.link(clip.key.as_str());
    let served = t.client.get(&url).send().await.unwrap().bytes().await.unwrap();
    let seen = t.data.path().join(format!("seen-{}", clip.key));
    std::fs::write(&seen, served).unwrap();
    let path = made.path.clone();
    let hashes = tokio::task::spawn_blocking(move || {
        [path, seen].map(|path| {
            let args = ["-v", "error", "-i", path.to_str().unwrap(), "-map", "0", "-c", "copy", "-f", "framemd5", "-"];
            let output = run("ffmpeg", &args);
            (output.status.success(), output.stdout)
        })
    });
    let [of_file, of_view] = hashes.await.unwrap();
    (!of_file.0 || of_file != of_view).then(|| "the moved view plays otherwise".to_owned())
}

/// Where our facts are not ffprobe's.
fn differences(made: &Made, ours: &MediaInfo) -> Vec<String> {
    let streams = made.told["streams"].as_array().unwrap();
    let of = |kind: &str| streams.iter().find(|stream| stream["codec_type"] == kind);
    let Some(main) = of("video").or_else(|| of("audio")) else { return vec!["ffprobe finds no stream".to_owned()] };
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    let mut wrong = BTreeMap::new();
    let theirs = number(&made.told["format"]["duration"]);
    if ours.kind.as_str() != "image"
        && theirs.is_some_and(|theirs| ours.duration.is_none_or(|ours| (ours - theirs).abs() > 0.1))
    {
        wrong.insert("duration", format!("{:?}, not {theirs:?}", ours.duration));
    }
    let size = |value: &Value| value.as_u64().filter(|side| *side > 0);
    let theirs = size(&main["width"]).zip(size(&main["height"]));
    let size = ours.width.zip(ours.height).map(|(width, height)| (width.into(), height.into()));
    if theirs.is_some() && size != theirs {
        wrong.insert("size", format!("{size:?}, not {theirs:?}"));
    }
    let theirs = main["codec_name"].as_str().unwrap_or_default();
    let is_known = ours.kind.as_str() == "image" || ours.codec.as_deref().is_some_and(|ours| is_same(ours, theirs));
    if !is_known {
        wrong.insert("codec", format!("{:?}, not {theirs}", ours.codec));
    }
    if (of("video").is_some()) == (ours.kind.as_str() == "audio") {
        wrong.insert("kind", ours.kind.as_str().to_owned());
    }
    let is_expected = |fact: &str| EXCEPTIONS.iter().any(|(name, of, _)| made.name.starts_with(name) && *of == fact);
    wrong.retain(|fact, _| !is_expected(fact));
    wrong.into_iter().map(|(fact, what)| format!("{fact} {what}")).collect()
}

/// Whether an RFC 6381 string names ffprobe's codec.
fn is_same(ours: &str, theirs: &str) -> bool {
    let first = ours.split('.').next().unwrap_or_default();
    let name = match (first, ours) {
        ("avc1" | "avc3", _) => "h264",
        ("hvc1" | "hev1", _) => "hevc",
        ("av01", _) => "av1",
        ("vp08", _) => "vp8",
        ("vp09", _) => "vp9",
        ("mp4a", "mp4a.69" | "mp4a.6b") => "mp3",
        ("mp4a", _) => "aac",
        ("mp4v", "mp4v.6c") => "mjpeg",
        ("mp4v", _) => "mpeg4",
        ("ac-3", _) => "ac3",
        ("ec-3", _) => "eac3",
        ("apcn" | "apch" | "apcs" | "apco" | "ap4h", _) => "prores",
        ("jpeg", _) => "mjpeg",
        ("rle", _) => "qtrle",
        ("sowt", _) => "pcm_s16le",
        ("s263" | "h263", _) => "h263",
        ("mp42", _) => "msmpeg4v2",
        ("i420", _) => "rawvideo",
        (first, _) => first,
    };
    name.eq_ignore_ascii_case(theirs)
}
