//! From a source into a bucket, beside `rclone copyurl`.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use fal_sim::{Media, Sim, SimOptions};

use crate::{
    run::{cpu_secs, median, program},
    support::{
        garage,
        node::{Node, NodeConfig},
    },
};

const CLIPS: u64 = 4;
const LEN: u64 = 256 << 20;
const ROUNDS: u64 = 3;

pub(crate) async fn run() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let (dir, place) = (tempfile::tempdir().unwrap(), garage::place());
    let mut config = NodeConfig::new(dir.path()).set("store", place.url());
    config.aws = place.aws();
    let node = config.start(&sim).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        ours.push(clipkeep(&sim, &node, round).await);
        theirs.push(rclone(&sim, &place, round).await);
    }
    let gb = (CLIPS * LEN) as f64 / 1e9;
    let speed = |runs: &[(f64, f64)]| median(runs.iter().map(|(secs, _)| gb * 1000.0 / secs).collect());
    let cpu = |runs: &[(f64, f64)]| median(runs.iter().map(|(_, cpu)| cpu / gb).collect());
    println!("\n## Ingest into Garage: {CLIPS} clips of {} MiB, one after another\n", LEN >> 20);
    println!("| who | MB/s | CPU-seconds per GB |\n| --- | ---: | ---: |");
    println!("| clipkeep | {:.0} | {:.2} |", speed(&ours), cpu(&ours));
    println!("| rclone copyurl | {:.0} | {:.2} |", speed(&theirs), cpu(&theirs));
    println!("| clipkeep ÷ rclone | {:.2} × | {:.2} × |", speed(&ours) / speed(&theirs), cpu(&ours) / cpu(&theirs));
}

/// Other bytes each time: a bucket that knows a block already would not write it.
fn source(sim: &Sim, seed: u64) -> String {
    sim.add_file("clip.mp4", Media::padded(LEN, seed))
}

async fn clipkeep(sim: &Sim, node: &Node, round: u64) -> (f64, f64) {
    let (began, cpu) = (Instant::now(), cpu_secs(&[node.pid()]));
    for clip in 0..CLIPS {
        let id = format!("r{round}-{clip}");
        assert_eq!(node.hook(sim, &id, &source(sim, round * 100 + clip)).await, Some(200));
        while node.api(&format!("/api/v1/clips/{id}.mp4")).await.unwrap()["state"] != "stored" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    (began.elapsed().as_secs_f64(), cpu_secs(&[node.pid()]) - cpu)
}

async fn rclone(sim: &Sim, place: &garage::Place, round: u64) -> (f64, f64) {
    let (mut secs, mut cpu) = (0.0, 0.0);
    for clip in 0..CLIPS {
        let url = source(sim, 50_000 + round * 100 + clip);
        let target = format!("peer:{}/{}-rclone/r{round}-{clip}.mp4", garage::BUCKET, place.prefix);
        let aws = place.aws();
        let began = Instant::now();
        let out = tokio::task::spawn_blocking(move || {
            // `time` of the shell counts the child's CPU.
            let mut command = Command::new("bash");
            command.args(["-c", "TIMEFORMAT='%U %S'; time rclone copyurl \"$0\" \"$1\"", &url, &target]);
            command.env_remove("AWS_CA_BUNDLE");
            command.env("RCLONE_CONFIG", "/dev/null").env("RCLONE_CONFIG_PEER_TYPE", "s3");
            command.env("RCLONE_CONFIG_PEER_PROVIDER", "Other").env("RCLONE_CONFIG_PEER_ENV_AUTH", "true");
            command.env("RCLONE_CONFIG_PEER_REGION", "garage").env("RCLONE_CONFIG_PEER_FORCE_PATH_STYLE", "true");
            command.env("RCLONE_CONFIG_PEER_ENDPOINT", &aws[3].1).envs(aws);
            command.env("RCLONE_S3_CHUNK_SIZE", "8M").env("RCLONE_S3_UPLOAD_CONCURRENCY", "4");
            command.env("RCLONE_S3_NO_CHECK_BUCKET", "true").env("NO_PROXY", "*");
            program(&mut command, "rclone")
        });
        let out = out.await.unwrap();
        secs += began.elapsed().as_secs_f64();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        let times: Vec<f64> = text.lines().last().unwrap().split(' ').filter_map(|t| t.parse().ok()).collect();
        assert_eq!(times.len(), 2, "{text}");
        cpu += times.iter().sum::<f64>();
    }
    (secs, cpu)
}
