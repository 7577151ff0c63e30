//! Delivery of a stored clip with its usage counted, beside the same without:
//! two nodes in this process, taking turns.

use std::fs;

use clipkeep_core::state::ClipState;
use fal_sim::Media;

use crate::{
    hits::{LEN, LUA, SIZES, load},
    run::median,
    support::app::TestApp,
};

const ROUNDS: usize = 7;

pub(crate) async fn run() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("range.lua"), LUA).unwrap();
    let (counting, not) = (TestApp::start().await, TestApp::start().await);
    not.app.usage.stop_counting();
    for t in [&counting, &not] {
        t.hook("hit", &t.sim.add_file("hit.mp4", Media::padded(LEN, 1)), "").await;
        t.until("hit.mp4", ClipState::Stored).await;
    }
    println!("\n## Counting: hits with usage counted, and without (in one process, {ROUNDS} turns each)\n");
    println!("| range | counted | not counted | ratio | CPU per request, ratio |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for (size, name) in SIZES {
        let (mut with, mut without, mut ratios, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let rate = async |t: &TestApp| {
                let (dir, url) = (dir.path().to_owned(), t.link("hit.mp4"));
                tokio::task::spawn_blocking(move || load(&dir, &url, size, &[std::process::id()])).await.unwrap()
            };
            // Who comes second finds the machine warmer.
            let (a, b) = if round % 2 == 0 {
                let a = rate(&counting).await;
                (a, rate(&not).await)
            } else {
                let b = rate(&not).await;
                (rate(&counting).await, b)
            };
            with.push(a.0);
            without.push(b.0);
            ratios.push(a.0 / b.0);
            cpu.push(a.1 / b.1);
        }
        let (with, without, ratio, cpu) = (median(with), median(without), median(ratios), median(cpu));
        println!("| {name} | {with:.0}/s | {without:.0}/s | {ratio:.3} × | {cpu:.3} × |");
    }
    counting.app.usage.flush().await;
    let counted = counting.api("/api/v1/usage").await["total"].clone();
    println!("\nCounted: {} answers, {} bytes, {} play.", counted["hits"], counted["viewer_bytes"], counted["plays"]);
}
