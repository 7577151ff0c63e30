//! A real Chromium that plays a clip, and says when it saw what.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    response::Html,
    routing::{get, post},
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};

const PAGE: &str = r#"<!doctype html><title>clip</title><video id=v muted preload=auto></video><script>
const v = document.getElementById('v'), began = performance.now(), told = {};
const tell = () => fetch('/told', {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(told)});
v.onerror = () => { told.error = v.error.code + ' ' + v.error.message; tell(); };
v.requestVideoFrameCallback(() => {
  told.first = performance.now() - began;
  told.duration = v.duration;
  v.pause();
  const sought = performance.now();
  v.currentTime = v.duration * 0.9;
  const look = (now, frame) => {
    if (frame.mediaTime < v.duration * 0.8) return v.requestVideoFrameCallback(look);
    told.seek = performance.now() - sought;
    told.at = frame.mediaTime;
    tell();
  };
  v.requestVideoFrameCallback(look);
});
v.src = 'URL'; v.play();
</script>"#;

/// What the page saw, in milliseconds.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Until the first frame.
    pub(crate) first: f64,
    /// From the seek to 90 % until its frame.
    pub(crate) seek: f64,
    /// Where that frame is, of the whole.
    pub(crate) at: f64,
}

struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Plays `url`: first frame, then a seek to 90 %.
pub(crate) async fn play(url: &str) -> Seen {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, mut told) = mpsc::channel::<Value>(1);
    let page = PAGE.replace("URL", url);
    let router = Router::new()
        .route("/", get(move || std::future::ready(Html(page))))
        .route(
            "/told",
            post(|State(tell): State<mpsc::Sender<Value>>, Json(what): Json<Value>| async move {
                let _ = tell.send(what).await;
            }),
        )
        .with_state(tell);
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let profile = tempfile::tempdir().unwrap();
    let _browser = Browser(start(&format!("http://{address}/"), profile.path()));
    let told = tokio::time::timeout(Duration::from_secs(60), told.recv()).await;
    let told = told.expect("the browser saw nothing within a minute").unwrap();
    server.abort();
    let number = |name: &str| told[name].as_f64().unwrap_or_else(|| panic!("{told}"));
    Seen { first: number("first"), seek: number("seek"), at: number("at") / number("duration") }
}

fn start(page: &str, profile: &Path) -> Child {
    Command::new("chromium")
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--autoplay-policy=no-user-gesture-required", "--mute-audio", "--disable-background-networking"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the tests need Chromium: apt-get install chromium")
}

/// A clip of a minute, about 12 MB, with its `moov` at the end or at the start.
pub(crate) fn minute(dir: &Path, fast_start: bool) -> Vec<u8> {
    let path = dir.join("minute.mp4");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=24:duration=60"]);
    ffmpeg.args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "48", "-b:v", "1600k"]);
    ffmpeg.args(["-minrate", "1600k", "-maxrate", "1600k", "-bufsize", "1600k", "-x264-params", "nal-hrd=cbr"]);
    ffmpeg.args(if fast_start { &["-movflags", "+faststart"][..] } else { &[] });
    let made = ffmpeg.arg(&path).output().expect("the tests need ffmpeg");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::read(path).unwrap()
}
