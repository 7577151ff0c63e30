//! What a disk does to a partial copy while nobody looks.

use std::{fs::File, os::unix::fs::FileExt, path::Path, time::Duration};

use fal_sim::{Fault, Faults, Media, Sim, SimOptions};

use crate::support::node::{Node, NodeConfig};

const LEN: u64 = 48 << 20;

async fn until(mut holds: impl AsyncFnMut() -> bool, what: &str) {
    let began = tokio::time::Instant::now();
    while !holds().await {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn state(node: &Node) -> String {
    let clip = node.api("/api/v1/clips/gen.mp4").await.unwrap_or_default();
    clip["state"].as_str().unwrap_or_default().to_owned()
}

/// How much was served, once nothing more of it is on its way to a dead node.
async fn settled(sim: &Sim, source: &str) -> u64 {
    loop {
        let served = sim.bytes_served(source);
        tokio::time::sleep(Duration::from_millis(300)).await;
        if sim.bytes_served(source) == served {
            return served;
        }
    }
}

/// A download that a kill cut at about two thirds, and what came of it after
/// `damage` was done to the folder of copies. Answers how much was read again.
async fn resumed_after(damage: impl Fn(&Path)) -> u64 {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let media = Media::padded(LEN, 5);
    let source = sim.add_faulty_file("a.mp4", media.clone(), Faults::always(Fault::rate(8_000_000)));
    let config = NodeConfig::new(&dir.path().join("data")).set("lease", "1s");
    let mut node = config.start(&sim).await;
    assert_eq!(node.hook(&sim, "gen", &source).await, Some(200));
    let map = dir.path().join("data/partials/gen.mp4.map");
    until(async || sim.bytes_served(&source) >= LEN * 2 / 3 && map.exists(), "two thirds").await;
    node.kill();
    damage(&dir.path().join("data/partials"));
    let before = settled(&sim, &source).await;
    sim.set_faults(&source, Faults::none());
    let node = config.start(&sim).await;
    until(async || state(&node).await == "stored", "stored").await;
    let clip = node.api("/api/v1/clips/gen.mp4").await.unwrap();
    assert_eq!(clip["sha256"], media.sha256());
    let stored = std::fs::read(dir.path().join("data/clips/gen.mp4")).unwrap();
    let mut at = 0;
    while at < LEN {
        let chunk = media.chunk(at..LEN);
        assert!(stored[at as usize..at as usize + chunk.len()] == chunk, "other bytes at {at}");
        at += chunk.len() as u64;
    }
    sim.bytes_served(&source) - before
}

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

fn flip(file: &File, at: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn h22_a_byte_that_was_flipped_while_the_node_was_down_is_read_again_with_what_is_around_it() {
    let again = resumed_after(|partials| flip(&open(&partials.join("gen.mp4")), 1_000_003)).await;
    assert!(again < LEN * 2 / 3, "{again} bytes: what was right was read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn h22_pages_that_a_power_cut_forgot_and_a_file_of_zeros_are_read_again() {
    resumed_after(|partials| open(&partials.join("gen.mp4")).write_all_at(&[0; 64 * 1024], 2 << 20).unwrap()).await;
    let again = resumed_after(|partials| {
        let file = open(&partials.join("gen.mp4"));
        file.set_len(0).unwrap();
        file.set_len(LEN).unwrap();
    });
    assert_eq!(again.await, LEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn h22_a_map_that_is_cut_off_or_tells_of_another_file_is_not_gone_by() {
    resumed_after(|partials| {
        let map = open(&partials.join("gen.mp4.map"));
        map.set_len(map.metadata().unwrap().len() / 2).unwrap();
    })
    .await;
    resumed_after(|partials| {
        let map = std::fs::read_to_string(partials.join("gen.mp4.map")).unwrap();
        std::fs::write(partials.join("gen.mp4.map"), map.replace("gen.mp4", "neg.mp4")).unwrap();
    })
    .await;
    resumed_after(|partials| open(&partials.join("gen.mp4")).set_len(LEN + 4096).unwrap()).await;
}
