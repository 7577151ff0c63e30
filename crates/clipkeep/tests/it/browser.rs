//! A real browser on clips that are not here yet.

use clipkeep_core::state::ClipState;
use fal_sim::{Fault, Faults, Media};

use crate::support::{app::TestApp, browser};

/// As slow as a far provider on a bad day, each connection.
const RATE: u64 = 1_500_000;

#[expect(clippy::print_stderr, reason = "the numbers are worth seeing")]
#[tokio::test(flavor = "multi_thread")]
async fn case_09_chromium_plays_and_seeks_in_a_cold_clip_with_its_moov_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let t = TestApp::start().await;
    let fast = Media::new("video/mp4", browser::minute(dir.path(), true).into());
    let straight = t.sim.add_faulty_file("fast.mp4", fast, Faults::always(Fault::rate(RATE)));
    let slow = Media::new("video/mp4", browser::minute(dir.path(), false).into());
    let source = t.sim.add_faulty_file("slow.mp4", slow.clone(), Faults::always(Fault::rate(RATE)));
    assert_eq!(t.hook("c", &source, "?policy=on_demand").await.status(), 200);

    let straight = browser::play(&straight).await;
    let cold = browser::play(&t.link("c.mp4")).await;
    eprintln!("fast start straight from the source: {straight:?}\ncold, moov at the end, through clipkeep: {cold:?}");
    for seen in [&straight, &cold] {
        assert!((0.89..0.91).contains(&seen.at), "{seen:?}");
    }
    // The whole would take eight seconds; a file that must come first shows.
    assert!(cold.first < 3000.0 && cold.seek < 3000.0, "{cold:?}");
    let clip = t.until("c.mp4", ClipState::Stored).await;
    assert_eq!(clip.sealed.unwrap().sha256, slow.sha256());
    let (read, len) = (t.sim.bytes_served(&source), slow.len());
    assert!(read as f64 <= len as f64 * 1.02, "{read} bytes of {len} were read");
}
