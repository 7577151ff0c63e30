//! H26: the wall clock jumps under a running fill, in a real process under
//! libfaketime. Leases are measured by the monotonic clock, so nobody notices.

use clipkeep::clock::SystemClock;
use clipkeep_core::time::{Clock, Timestamp};
use fal_sim::{Fault, Faults, Media, Sim, SimOptions};

use crate::{
    matrix::{Whole, gets},
    support::{clock::Clock as WallClock, eventually::eventually, node::NodeConfig, postgres},
};

const LEN: u64 = 6_000_000;
const RATE: u64 = 1_000_000;
const HOUR: i64 = 3600;

async fn no_jump_cuts_a_viewer_off(database: Option<String>) {
    let (sim, dir) = (Sim::start(SimOptions::default()).await.unwrap(), tempfile::tempdir().unwrap());
    let clock = WallClock::new(dir.path());
    let mut config = NodeConfig::new(&dir.path().join("data")).set("lease", "2s").set("public", "true");
    if let Some(url) = database {
        config = config.set("database", url);
    }
    config.env = clock.env();
    let node = config.start(&sim).await;
    for (id, seconds) in [("forward", HOUR), ("back", -HOUR), ("month", 30 * 24 * HOUR)] {
        clock.jump(0);
        let media = Media::padded(LEN, seconds.unsigned_abs());
        let source = sim.add_faulty_file("a.mp4", media.clone(), Faults::always(Fault::rate(RATE)));
        assert_eq!(node.hook(&sim, id, &source).await, Some(200));
        let link = format!("{}/v/{id}.mp4", node.url);
        let viewer = gets(node.client.get(&link).send().await.unwrap(), &media);
        let jumps = async {
            eventually("it is under way", async || (sim.bytes_served(&source) > LEN / 6).then_some(())).await;
            clock.jump(seconds);
        };
        assert_eq!(tokio::join!(viewer, jumps).0, Whole, "{id}");
        let clip = eventually(id, async || {
            let clip = node.api(&format!("/api/v1/clips/{id}.mp4")).await?;
            (clip["state"] == "stored").then_some(clip)
        })
        .await;
        assert_eq!((&clip["attempts"], clip["sha256"].as_str()), (&1.into(), Some(&*media.sha256())), "{id}");
        assert!(sim.bytes_served(&source) as f64 <= LEN as f64 * 1.02, "{id}");
        assert_eq!(gets(node.client.get(&link).send().await.unwrap(), &media).await, Whole, "{id}");
        // The node did see the jump.
        let stored: Timestamp = clip["stored_at"].as_str().unwrap().parse().unwrap();
        assert!((stored.secs() - SystemClock.now().secs() - seconds).abs() < HOUR / 2, "{id}: {stored}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h26_a_clock_that_jumps_cuts_no_viewer_off_on_sqlite() {
    no_jump_cuts_a_viewer_off(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h26_a_clock_that_jumps_cuts_no_viewer_off_on_postgresql() {
    no_jump_cuts_a_viewer_off(Some(postgres::database().await)).await;
}
