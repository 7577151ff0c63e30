//! The console's first page over a million clips, in a real browser.

use std::{path::Path, process::Stdio, sync::Arc};

use fal_sim::{Sim, SimOptions};
use serde_json::Value;
use tokio::process::Command;

use crate::{
    provenance::{load, rows::World},
    run::median,
    support::node::{NodeConfig, TOKEN},
};

const CLIPS: u64 = 1_000_000;
const ROUNDS: usize = 5;
/// As many as a page shows have a poster.
const POSTERS: u32 = 60;
const THUMBHASH: &str = "1QcSHQRnh493V4dIh4eXh1h4kJUI";

pub(crate) async fn run() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    // Beside the work tree: /tmp may be memory.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let config = NodeConfig::new(dir.path()).set("drift_interval", "30d");
    config.start(&sim).await.kill();
    furnish(dir.path());
    let node = config.start(&sim).await;
    let (mut paints, mut last) = (Vec::new(), Value::Null);
    for _ in 0..ROUNDS {
        last = look(&node.url).await;
        paints.push(last["paint"].as_f64().unwrap());
    }
    println!("\n## The wall over {CLIPS} clips\n");
    println!("| what | |\n| --- | ---: |");
    println!("| first contentful paint, cold browser | {:.0} ms |", median(paints));
    println!("| page, style and script, as sent | {:.0} KiB |", last["page"].as_f64().unwrap() / 1024.0);
    println!("| posters | {} |", last["posters"]);
    println!("| layout shift | {} |", last["shift"]);
}

fn furnish(data: &Path) {
    let path = data.join("clipkeep.db");
    load::sqlite(&path, &Arc::new(World::new(CLIPS)));
    let posters = data.join("clips/.clipkeep/posters");
    std::fs::create_dir_all(&posters).unwrap();
    let poster = posters.join("poster");
    let mut ffmpeg = std::process::Command::new("ffmpeg");
    ffmpeg.args([
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=640x360",
        "-frames:v",
        "1",
        "-q:v",
        "4",
        "-f",
        "mjpeg",
    ]);
    assert!(ffmpeg.arg(&poster).status().unwrap().success());
    let db = rusqlite::Connection::open(path).unwrap();
    let newest = "SELECT key FROM clips ORDER BY created_at DESC, key DESC LIMIT ?1";
    let read = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    let keys: Vec<_> = db.prepare(newest).unwrap().query_map([POSTERS], read).unwrap().map(Result::unwrap).collect();
    for key in keys {
        let drawn = "UPDATE clips SET poster_epoch = epoch, thumbhash = ?2, poster_due = NULL WHERE key = ?1";
        db.execute(drawn, [key.as_str(), THUMBHASH]).unwrap();
        std::fs::hard_link(&poster, posters.join(format!("{key}.jpg"))).unwrap();
    }
    std::fs::remove_file(poster).unwrap();
}

async fn look(url: &str) -> Value {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut node = Command::new("node");
    node.arg(here.join("benches/peers/wall.mjs")).env("CONSOLE_URL", url).env("CONSOLE_TOKEN", TOKEN);
    node.env("CONSOLE_TOOLS", here.join("../../target/tools/console").canonicalize().expect("run ./test once"));
    let ran = node.stdin(Stdio::null()).output().await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap()
}
