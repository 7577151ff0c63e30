//! What posters cost those who wait for clips: two hundred clips at once, with and
//! without ffmpeg.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use fal_sim::{Media, Sim, SimOptions};

use crate::{
    run::{cpu_secs, median, program},
    support::{
        browser::minute,
        garage,
        node::{Node, NodeConfig},
    },
};

const CLIPS: usize = 200;
const ROUNDS: usize = 3;

pub(crate) async fn run() {
    let (sim, dir) = (Sim::start(SimOptions::default()).await.unwrap(), tempfile::tempdir().unwrap());
    let media = short_clip(dir.path());
    let megabytes = (media.len() * CLIPS) as f64 / 1e6;
    let mut nodes = Vec::new();
    for (name, ffmpeg) in [("without", "off"), ("with", "/usr/bin/ffmpeg")] {
        let place = garage::place();
        let mut config = NodeConfig::new(&dir.path().join(name)).set("store", place.url()).set("ffmpeg", ffmpeg);
        config.aws = place.aws();
        nodes.push(config.start(&sim).await);
    }
    let mut seconds = [Vec::new(), Vec::new()];
    let mut cpu = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (nth, node) in nodes.iter().enumerate() {
            let before = cpu_secs(&[node.pid()]);
            seconds[nth].push(all_stored(&sim, node, round, &media).await);
            cpu[nth].push(cpu_secs(&[node.pid()]) - before);
            // What is left to be drawn is nobody's burden in the next round.
            until_drawn(node, nth == 1).await;
        }
    }
    let [without, with] = seconds.map(median);
    println!("\n## {CLIPS} clips at once into Garage, {:.0} MB\n", megabytes);
    println!("| | MB/s | node's CPU-seconds |\n| --- | ---: | ---: |");
    let [cpu_without, cpu_with] = cpu.map(median);
    println!("| without posters | {:.0} | {cpu_without:.1} |", megabytes / without);
    println!("| with posters | {:.0} | {cpu_with:.1} |", megabytes / with);
    println!("| with ÷ without | {:.2} × | {:.2} × |", without / with, cpu_with / cpu_without);
}

/// A clip of 2.4 MB.
fn short_clip(dir: &Path) -> Vec<u8> {
    std::fs::write(dir.join("long.mp4"), minute(dir, true)).unwrap();
    let (long, short) = (dir.join("long.mp4"), dir.join("short.mp4"));
    let mut cut = Command::new("ffmpeg");
    cut.args(["-v", "error", "-i"]).arg(long).args(["-t", "12", "-c", "copy", "-movflags", "+faststart"]).arg(&short);
    program(&mut cut, "ffmpeg");
    std::fs::read(short).unwrap()
}

async fn all_stored(sim: &Sim, node: &Node, round: usize, media: &[u8]) -> f64 {
    let ids: Vec<String> = (0..CLIPS).map(|nth| format!("r{round}-{nth}")).collect();
    let sources: Vec<String> = (0..CLIPS as u64)
        .map(|nth| {
            // Other bytes each time, behind the last box: a bucket that knows a block
            // would not write it.
            let mut bytes = media.to_vec();
            bytes.extend([&16_u32.to_be_bytes()[..], b"free", &(round as u64 * 1000 + nth).to_be_bytes()].concat());
            sim.add_file("clip.mp4", Media::new("video/mp4", bytes.into()))
        })
        .collect();
    let began = Instant::now();
    for (id, source) in ids.iter().zip(&sources) {
        assert_eq!(node.hook(sim, id, source).await, Some(200));
    }
    while stored(node).await < (round + 1) * CLIPS {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    began.elapsed().as_secs_f64()
}

async fn stored(node: &Node) -> usize {
    let text = node.client.get(format!("{}/metrics", node.url)).send().await.unwrap().text().await.unwrap();
    let count = text.lines().find_map(|line| line.strip_prefix("clipkeep_fills_total{outcome=\"stored\"} "));
    count.map_or(0, |count| count.parse().unwrap())
}

async fn until_drawn(node: &Node, draws: bool) {
    while draws
        && node.api("/api/v1/clips?limit=1000").await.unwrap()["clips"]
            .as_array()
            .unwrap()
            .iter()
            .any(|clip| clip["poster_url"].is_null())
    {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
