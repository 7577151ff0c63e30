//! Decoders and files that mean harm: the clip is stored, and the node lives.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::support::{eventually::eventually, processes::processes};

/// A folder with an ffmpeg that is this script, beside the machine's ffprobe.
fn program(script: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("ffmpeg");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let probe = "#!/bin/sh\nexec ffprobe \"$@\"\n";
    fs::write(dir.path().join("ffprobe"), probe).unwrap();
    fs::set_permissions(dir.path().join("ffprobe"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

async fn check_none(script: &str) {
    let (_dir, ffmpeg) = program(script);
    let t = TestApp::with(&[("ffmpeg", ffmpeg)]).await;
    told(&t, "g1", "video", "video/mp4", video(), "").await;
    let clip = tried(&t, "g1.mp4").await;
    assert_eq!((clip.state, &clip.poster), (ClipState::Stored, &Poster::None), "{script}");
    let answer = get(&t, &poster_link(&t, "g1.mp4")).await;
    assert_eq!(answer.status(), 404, "{script}");
    assert_eq!(get(&t, &t.link("g1.mp4")).await.status(), 200, "{script}");
    assert!(!object(t.data.path(), "g1.mp4").exists());
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoder_that_crashes_floods_or_lies_makes_no_poster() {
    check_none("#!/bin/sh\nkill -SEGV $$\n").await;
    check_none("#!/bin/sh\nyes\n").await;
    check_none("#!/bin/sh\necho '<script>alert(1)</script>'\n").await;
    check_none("#!/bin/sh\nprintf '\\377\\330\\377\\331'\n").await;
    let wide = "ffmpeg -v error -f lavfi -i testsrc2=s=900x90 -frames:v 1 -c:v mjpeg -f image2pipe -";
    check_none(&format!("#!/bin/sh\nexec /usr/bin/{wide}\n")).await;
    check_none("not a program").await;
}

/// It may be one that the machine had no time for.
async fn check_ended_and_tried_again(seconds: u32, script: impl FnOnce(&str) -> String) {
    let marker = format!("sleep\0{}", seconds + std::process::id());
    let (_dir, ffmpeg) = program(&script(&marker.replace('\0', " ")));
    let t = TestApp::with(&[("ffmpeg", ffmpeg)]).await;
    told(&t, "g1", "video", "video/mp4", video(), "").await;
    t.until("g1.mp4", ClipState::Stored).await;
    eventually("it draws", || async { (processes(&marker) > 0).then_some(()) }).await;
    // It takes nothing from those that draw meanwhile.
    let other = drawing(&[]).await;
    told(&other, "g2", "video", "video/mp4", video(), "").await;
    assert!(matches!(tried(&other, "g2.mp4").await.poster, Poster::Made { .. }));
    assert!(processes(&marker) > 0);
    other.stop().await;
    eventually("it is ended", || async { (processes(&marker) == 0).then_some(()) }).await;
    let clip = t.app.catalog.clip(&"g1.mp4".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(clip.poster, Poster::Untried);
    eventually("who asks starts no other", async || {
        assert_eq!(get(&t, &poster_link(&t, "g1.mp4")).await.status(), 503);
        (processes(&marker) == 0).then_some(())
    })
    .await;
    assert_eq!(get(&t, &t.link("g1.mp4")).await.status(), 200);
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoder_that_hangs_is_ended_and_tried_again() {
    check_ended_and_tried_again(8_000_000, |sleep| format!("#!/bin/sh\nexec {sleep}\n")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoder_that_forks_is_held() {
    check_ended_and_tried_again(9_000_000, |sleep| format!("#!/bin/bash\nbomb() {{ {sleep} & bomb & bomb; }}\nbomb\n"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoder_that_fills_the_disk_is_held() {
    let shown = tempfile::tempdir().unwrap();
    fs::set_permissions(shown.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let file = shown.path().join("written");
    check_none(&format!("#!/bin/sh\nhead -c 100000000 /dev/zero > {}\n", file.display())).await;
    assert!(!file.exists() || fs::metadata(&file).unwrap().len() == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoder_sees_no_file_but_its_clip_where_the_machine_allows_that() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::set_permissions(secret.path(), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(secret.path(), "secret").unwrap();
    let found = clipkeep::ffmpeg::Ffmpeg::find(Path::new("ffmpeg")).unwrap();
    let isolation = found.isolation().await;
    // It draws if it sees the secret, another process's memory or a network.
    let picture = "/usr/bin/ffmpeg -v error -f lavfi -i testsrc2=s=64x64 -frames:v 1 -c:v mjpeg -f image2pipe -";
    let script = format!(
        "#!/bin/sh\nif cat {} /etc/passwd /proc/1/cmdline || ls /sys/class/net/eth0; then {picture}; fi\n",
        secret.path().display()
    );
    assert!(isolation.own_root && isolation.own_spaces && isolation.unprivileged, "{isolation:?}");
    check_none(&script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_files_that_mean_harm_end_with_or_without_a_poster() {
    let t = drawing(&[]).await;
    let good = video();
    let mut files: Vec<(&'static str, &'static str, Bytes)> = Vec::new();
    // Cut, holed, and with other lengths than they say, whole by their length.
    for nth in 1..10 {
        let mut bytes = good.to_vec();
        let at = good.len() * nth / 10;
        bytes[at..].iter_mut().step_by(nth).for_each(|byte| *byte ^= 0x5a);
        files.push(("video", "video/mp4", bytes.into()));
    }
    let png = |width: u32, height: u32| {
        let mut bytes = made("png", &["-f", "lavfi", "-i", "testsrc2=s=64x64", "-frames:v", "1"]).to_vec();
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        Bytes::from(bytes)
    };
    for (width, height) in [(1, 1), (65_535, 65_535), (u32::MAX >> 1, 1), (0, 0)] {
        files.push(("image", "image/png", png(width, height)));
    }
    let playlist = "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n";
    for text in [playlist, "ffconcat version 1.0\nfile /etc/passwd\n", "<svg><image href='file:///etc/passwd'/></svg>"]
    {
        files.push(("video", "video/mp4", Bytes::from_static(text.as_bytes())));
    }
    let huge = made(
        "mp4",
        &[
            "-f",
            "lavfi",
            "-i",
            "color=red:s=8192x4320:r=1:d=2",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
        ],
    );
    files.push(("video", "video/mp4", huge));
    let long = made("mp3", &["-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "7200", "-b:a", "8k"]);
    files.push(("audio", "audio/mpeg", long));
    files.push(("audio", "audio/wav", made("wav", &["-f", "lavfi", "-i", "sine=1:d=0.001"])));
    files.push((
        "video",
        "video/mp4",
        made("mp4", &["-f", "lavfi", "-i", "testsrc2=s=2x2:d=0.1", "-c:v", "libx264", "-pix_fmt", "yuv420p"]),
    ));
    assert!(files.len() >= 20, "{}", files.len());
    for (nth, (slot, content_type, bytes)) in files.into_iter().enumerate() {
        told(&t, &format!("g{nth}"), slot, content_type, bytes, "").await;
    }
    let began = Instant::now();
    loop {
        let clips = t.api("/api/v1/clips?limit=100").await;
        let clips = clips["clips"].as_array().unwrap();
        let open =
            clips.iter().filter(|clip| ["waiting", "filling"].contains(&clip["state"].as_str().unwrap())).count();
        let due = t.app.clock.now().plus(std::time::Duration::from_secs(3600));
        if open == 0 && t.app.catalog.posters_due(due, due, 100).await.unwrap().is_empty() {
            break;
        }
        assert!(began.elapsed() < PATIENCE * 2, "{open} open");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    assert_eq!(get(&t, &format!("{}/healthz", t.url)).await.status(), 200);
    t.stop().await;
}
