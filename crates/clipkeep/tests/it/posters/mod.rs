//! Posters: a still of each clip, whatever it is and wherever its bytes are.

mod drawn;
mod held;
mod hostile;
mod killed;

use std::{fs, path::Path, process::Command};

use bytes::Bytes;
use clipkeep_core::{
    generation::{Clip, Poster},
    id::ClipKey,
    link::LinkTarget,
    state::ClipState,
};
use fal_sim::{Media, Sim, SimOptions};
use reqwest::{Response, StatusCode};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::{app::TestApp, eventually::PATIENCE};

/// A file that ffmpeg makes.
fn made(ending: &str, args: &[&str]) -> Bytes {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(format!("made.{ending}"));
    let status = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(args).arg(&path).status().unwrap();
    assert!(status.success(), "{args:?}");
    fs::read(path).unwrap().into()
}

/// A short video of moving colours.
fn video() -> Bytes {
    made("mp4", &["-f", "lavfi", "-i", "testsrc2=s=1280x720:r=24:d=1", "-c:v", "libx264", "-preset", "ultrafast"])
}

/// A node with ffmpeg.
async fn drawing(more: &[(&'static str, String)]) -> TestApp {
    let settings: Vec<_> = [("ffmpeg", "ffmpeg".to_owned())].into_iter().chain(more.iter().cloned()).collect();
    TestApp::with(&settings).await
}

/// Tells of a file under `slot`.
async fn told(t: &TestApp, id: &str, slot: &str, content_type: &'static str, bytes: Bytes, query: &str) {
    let source = t.sim.add_file(&format!("{id}.bin"), Media::new(content_type, bytes));
    let payload = json!({slot: {"url": source, "content_type": content_type}});
    assert_eq!(t.hook_payload(id, &payload, query).await.status(), 200);
}

/// The clip, once somebody has tried to draw it.
async fn tried(t: &TestApp, key: &str) -> Clip {
    let (began, key): (_, ClipKey) = (Instant::now(), key.parse().unwrap());
    loop {
        let clip = t.app.catalog.clip(&key).await.unwrap();
        if let Some(clip) = clip.filter(|clip| clip.poster != Poster::Untried) {
            return clip;
        }
        assert!(began.elapsed() < PATIENCE, "nobody drew {key}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn poster_link(t: &TestApp, key: &str) -> String {
    let span = std::time::Duration::from_secs(3600);
    t.app.sign_link(LinkTarget::Poster, (&key.parse().unwrap(), 0), span, None).unwrap().url
}

async fn get(t: &TestApp, url: &str) -> Response {
    t.client.get(url).send().await.unwrap()
}

/// The poster's width and height, and its mean brightness, by ffmpeg's word.
fn measured(jpeg: &[u8]) -> (u32, u32, u8) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.jpg");
    fs::write(&path, jpeg).unwrap();
    let probe = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0"])
        .arg(&path)
        .output()
        .unwrap();
    let text = String::from_utf8(probe.stdout).unwrap();
    let (width, height) = text.trim().split_once(',').unwrap();
    let mean = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&path)
        .args(["-vf", "scale=1:1:flags=area", "-f", "rawvideo", "-pix_fmt", "gray", "-"])
        .output()
        .unwrap();
    (width.parse().unwrap(), height.parse().unwrap(), mean.stdout[0])
}

fn object(data: &Path, key: &str) -> std::path::PathBuf {
    data.join(format!("clips/.clipkeep/posters/{key}.jpg"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_clip_has_a_poster_that_is_its_own_in_all() {
    let t = drawing(&[]).await;
    told(&t, "g1", "video", "video/mp4", video(), "?tenant=acme").await;
    let clip = tried(&t, "g1.mp4").await;
    let row = t.api("/api/v1/clips/g1.mp4").await;
    assert_eq!(row["poster_url"], format!("{}/p/g1.mp4.jpg", t.url));
    assert!(matches!(&clip.poster, Poster::Made { thumbhash } if row["thumbhash"] == *thumbhash), "{row}");
    let link = poster_link(&t, "g1.mp4");
    let answer = get(&t, &link).await;
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!((header("content-type"), header("x-content-type-options")), ("image/jpeg".into(), "nosniff".into()));
    assert!(header("cache-control").contains("private") && header("cache-control").contains("immutable"));
    let (etag, len) = (header("etag"), header("content-length"));
    let head = t.client.head(&link).send().await.unwrap();
    assert_eq!(
        (head.headers()["etag"].to_str().unwrap(), head.headers()["content-length"].to_str().unwrap()),
        (&*etag, &*len)
    );
    let jpeg = answer.bytes().await.unwrap();
    let (width, height, _) = measured(&jpeg);
    assert_eq!((width, height), (640, 360));
    assert_eq!(fs::read(object(t.data.path(), "g1.mp4")).unwrap(), jpeg);
    let again = t.client.get(&link).header("if-none-match", &etag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    let part = t.client.get(&link).header("range", "bytes=2-5").send().await.unwrap();
    assert_eq!((part.status(), part.bytes().await.unwrap()), (StatusCode::PARTIAL_CONTENT, jpeg.slice(2..6)));
    assert_eq!(t.client.post(&link).send().await.unwrap().status(), 405);
    // Its link is over its own path: one to the clip is none to it, nor the other way.
    assert_eq!(get(&t, &format!("{}/p/g1.mp4.jpg", t.url)).await.status(), 403);
    let clips = t.link("g1.mp4");
    for swapped in [clips.replace("/v/g1.mp4", "/p/g1.mp4.jpg"), link.replace("/p/g1.mp4.jpg", "/v/g1.mp4")] {
        assert_eq!(get(&t, &swapped).await.status(), 403);
    }
    for unknown in ["/p/g1.mp4", "/p/g1.jpg", "/p/.jpg", "/p/", "/p/g1.mp4.jpg.jpg"] {
        assert!([403, 404].contains(&get(&t, &format!("{}{unknown}", t.url)).await.status().as_u16()), "{unknown}");
    }
    // Revoked with the clip's links, and deleted with the clip.
    t.app.revoke_links_of(&clip.key).await.unwrap();
    assert_eq!(get(&t, &link).await.status(), 403);
    t.app.delete(&clip.key, "test").await.unwrap();
    assert!(!object(t.data.path(), "g1.mp4").exists());
    let link = t.app.sign_link(LinkTarget::Poster, (&clip.key, 1), std::time::Duration::from_secs(60), None).unwrap();
    assert_eq!(get(&t, &link.url).await.status(), 410);
    let row = t.api("/api/v1/clips/g1.mp4").await;
    assert!(row["poster_url"].is_null() && row["thumbhash"].is_null(), "{row}");
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_clips_poster_is_public_and_its_bytes_are_usage_but_no_play() {
    let t = drawing(&[]).await;
    told(&t, "g1", "video", "video/mp4", video(), "?public=1").await;
    tried(&t, "g1.mp4").await;
    let answer = get(&t, &format!("{}/p/g1.mp4.jpg", t.url)).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()["cache-control"].to_str().unwrap().contains("public"));
    let len = answer.bytes().await.unwrap().len() as u64;
    t.app.usage.flush().await;
    let usage = t.api("/api/v1/usage?by=clip").await;
    assert_eq!(usage["total"]["viewer_bytes"], len, "{usage}");
    assert_eq!((&usage["total"]["plays"], &usage["total"]["aborted_plays"]), (&json!(0), &json!(0)), "{usage}");
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_of_another_name_leads_to_its_poster() {
    let t = drawing(&[]).await;
    told(&t, "g1", "image", "image/png", video(), "").await;
    tried(&t, "g1.mp4").await;
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = client.get(poster_link(&t, "g1.png")).send().await.unwrap();
    assert_eq!(answer.status(), 307);
    let to = answer.headers()["location"].to_str().unwrap().to_owned();
    assert!(to.contains("/p/g1.mp4.jpg?"), "{to}");
    assert_eq!(get(&t, &to).await.status(), 200);
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_named_from_where_one_stands_does_as_well() {
    let data = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let here = std::env::current_dir().unwrap();
    let up = "../".repeat(here.components().count() - 1);
    let named = format!("{up}{}", data.path().strip_prefix("/").unwrap().display());
    let settings = [("ffmpeg", "ffmpeg".to_owned()), ("data", named)];
    let t = TestApp::on(Sim::start(SimOptions::default()).await.unwrap(), data, &settings, &[]).await;
    let stream = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=24:d=1", "-c:v", "mpeg2video"];
    told(&t, "g1", "video", "video/mp2t", made("ts", &stream), "").await;
    let clip = tried(&t, "g1.ts").await;
    assert!(matches!(clip.poster, Poster::Made { .. }));
    // Which ffprobe alone can tell of such a file.
    assert!(clip.sealed.unwrap().media.duration.is_some());
    t.stop().await;
}

/// A node without ffmpeg on this data, which has stored one video.
async fn without_posters() -> (Sim, std::sync::Arc<TempDir>) {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let t = TestApp::on(sim, std::sync::Arc::new(tempfile::tempdir().unwrap()), &[], &[]).await;
    told(&t, "g1", "video", "video/mp4", video(), "").await;
    t.until("g1.mp4", ClipState::Stored).await;
    let answer = get(&t, &poster_link(&t, "g1.mp4")).await;
    assert_eq!(answer.status(), 404);
    assert!(answer.text().await.unwrap().contains("ffmpeg"));
    t.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_poster_gets_one_for_who_asks() {
    let (sim, data) = without_posters().await;
    let t = TestApp::on(sim, data, &[("ffmpeg", "ffmpeg".to_owned()), ("sweep_interval", "1h".to_owned())], &[]).await;
    let answer = get(&t, &poster_link(&t, "g1.mp4")).await;
    assert_eq!(answer.status(), 200);
    assert!(object(t.data.path(), "g1.mp4").exists());
    // One that was lost is made again.
    fs::remove_file(object(t.data.path(), "g1.mp4")).unwrap();
    t.app.poster_cache.clear();
    assert_eq!(get(&t, &poster_link(&t, "g1.mp4")).await.status(), 200);
    assert!(object(t.data.path(), "g1.mp4").exists());
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_poster_gets_one_by_the_sweep() {
    let (sim, data) = without_posters().await;
    let t = TestApp::on(sim, data, &[("ffmpeg", "ffmpeg".to_owned()), ("sweep_interval", "1h".to_owned())], &[]).await;
    let now = t.app.clock.now();
    assert_eq!(t.app.posters.catch_up(now).await.unwrap(), 0, "it is the node's that stored it, for a minute");
    assert_eq!(t.app.posters.catch_up(now.plus(clipkeep::poster::GRACE)).await.unwrap(), 1);
    assert_eq!(t.app.posters.catch_up(now.plus(std::time::Duration::from_secs(86_400))).await.unwrap(), 0);
    assert!(matches!(tried(&t, "g1.mp4").await.poster, Poster::Made { .. }));
    t.stop().await;
}
