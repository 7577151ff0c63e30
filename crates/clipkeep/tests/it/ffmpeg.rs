//! A program beside us that tells facts: whatever it does, the clip is stored.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use clipkeep_core::{generation::Clip, state::ClipState};
use fal_sim::Media;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::{app::TestApp, eventually::eventually, processes::processes};

/// A short MPEG transport stream, of which we read nothing ourselves.
fn transport_stream(dir: &Path) -> Bytes {
    let path = dir.join("x.ts");
    let picture = "testsrc=size=96x64:rate=25:duration=1";
    let args = ["-v", "error", "-y", "-f", "lavfi", "-i", picture, "-c:v", "mpeg2video"];
    let made = Command::new("ffmpeg").args(args).arg(&path).status().unwrap();
    assert!(made.success());
    fs::read(path).unwrap().into()
}

/// A folder with an ffmpeg, and an ffprobe that is this script.
fn programs(script: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    // Root's jail runs it as nobody.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (name, text) in [("ffmpeg", "#!/bin/sh\n"), ("ffprobe", script)] {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let ffmpeg = dir.path().join("ffmpeg");
    (dir, ffmpeg)
}

/// The clip that comes of a transport stream where `ffmpeg` is that program.
async fn stored_with(ffmpeg: &str) -> Clip {
    let t = TestApp::with(&[("ffmpeg", ffmpeg.to_owned())]).await;
    let source = t.sim.add_file("out.ts", Media::new("video/mp2t", transport_stream(t.data.path())));
    let payload = json!({"video": {"url": source, "content_type": "video/mp2t"}});
    assert_eq!(t.hook_payload("gen-1", &payload, "").await.status(), 200);
    let clip = t.until("gen-1.ts", ClipState::Stored).await;
    t.stop().await;
    clip
}

async fn check_left_empty(script: &str) {
    let (_dir, ffmpeg) = programs(script);
    let began = Instant::now();
    let clip = stored_with(ffmpeg.to_str().unwrap()).await;
    let media = clip.sealed.unwrap().media;
    assert_eq!((media.duration, media.width, media.codec), (None, None, None), "{script}");
    assert!(began.elapsed().as_secs() < 40, "{script}");
}

#[tokio::test(flavor = "multi_thread")]
async fn k22_ffprobe_tells_what_we_do_not_read_ourselves() {
    let media = stored_with("ffmpeg").await.sealed.unwrap().media;
    assert_eq!((media.width, media.height, media.codec.as_deref()), (Some(96), Some(64), Some("mpeg2video")));
    assert!(media.duration.is_some_and(|secs| (secs - 1.0).abs() < 0.1), "{media:?}");
    assert!(media.fps.is_some_and(|fps| (fps - 25.0).abs() < 0.01), "{media:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn k22_without_a_program_facts_stay_empty_and_clips_are_stored() {
    for ffmpeg in ["off", "/nowhere/ffmpeg", "no-such-program"] {
        assert_eq!(stored_with(ffmpeg).await.sealed.unwrap().media.duration, None, "{ffmpeg}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k22_a_program_that_fails_lies_or_floods_leaves_the_clip_stored() {
    let facts =
        r#"{"streams":[{"codec_type":"video","codec_name":"x","width":5,"height":5}],"format":{"duration":"9"}}"#;
    check_left_empty(&format!("#!/bin/sh\necho '{facts}'\nexit 1\n")).await;
    check_left_empty("#!/bin/sh\nkill -SEGV $$\n").await;
    check_left_empty("#!/bin/sh\nyes\n").await;
    check_left_empty("#!/bin/sh\nhead -c 999 /dev/urandom\n").await;
    check_left_empty("not a program").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k22_a_program_that_hangs_holds_up_a_fill_for_seconds_only() {
    check_left_empty("#!/bin/sh\nexec 1>&-\nsleep 1000\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k22_a_program_that_forks_without_end_is_ended_with_all_of_its_kind() {
    let marker = format!("{}", 7_000_000 + std::process::id());
    check_left_empty(&format!("#!/bin/bash\nbomb() {{ sleep {marker} & bomb & bomb; }}\nbomb\n")).await;
    eventually("all are ended", || async { (processes(&marker) == 0).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k22_a_program_sees_no_secrets_and_writes_nothing() {
    let shown = tempfile::tempdir().unwrap();
    fs::set_permissions(shown.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let file = shown.path().join("written");
    let script = format!(
        "#!/bin/sh\n(env | grep -q -e CLIPKEEP -e AWS -e HOME) && echo secrets > {0}\necho text > {0}\nexit 1\n",
        file.display()
    );
    check_left_empty(&script).await;
    assert!(fs::read(&file).is_ok_and(|text| text.is_empty()) || !file.exists());
}
