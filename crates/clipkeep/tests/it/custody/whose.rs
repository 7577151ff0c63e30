//! Whose store it is: one that is not mounted, or another's, is never taken for
//! one that lost everything.

use std::{path::Path, sync::Arc, time::Duration};

use clipkeep::{app::App, data_dir::Role};
use clipkeep_core::{
    config::{Config, Layers},
    state::ClipState,
};
use fal_sim::{Media, Sim, SimOptions};
use tempfile::TempDir;

use crate::{
    cli::clipkeep,
    maintenance::Bed,
    support::{
        app::{TestApp, own_settings},
        garage,
    },
};

const TOKEN: &str = "test-admin-token-0123456789";

/// A node with stored clips that was stopped.
struct Stopped {
    sim: Sim,
    data: Arc<TempDir>,
}

impl Stopped {
    async fn with(clips: u64) -> Self {
        let t = TestApp::with(&[("lease", "1s".to_owned())]).await;
        for n in 0..clips {
            let source = t.sim.add_file("a.mp4", Media::padded(50_000, n));
            t.hook(&format!("c{n}"), &source, "").await;
        }
        for n in 0..clips {
            t.until(&format!("c{n}.mp4"), ClipState::Stored).await;
        }
        let (sim, data) = t.stop().await;
        Self { sim, data }
    }

    fn store(&self) -> std::path::PathBuf {
        self.data.path().join("clips")
    }

    /// Why a node does not start; none if it would.
    async fn refusal(&self, settings: &[(&'static str, String)]) -> Option<String> {
        let flags = own_settings(&self.sim, "http://127.0.0.1:1", self.data.path(), TOKEN);
        let config = Config::from_layers(Layers::new().with_flags(flags).with_flags(settings.iter().cloned()));
        match App::open(config.unwrap(), Role::Node).await {
            Ok(app) => {
                app.close().await;
                None
            }
            Err(error) => Some(format!("{error:#}")),
        }
    }

    async fn command(&self, line: &str) -> (i32, String) {
        let (sim, data, line) = (self.sim.clone(), Arc::clone(&self.data), line.to_owned());
        let run = move || clipkeep(&sim, data.path(), &line.split(' ').collect::<Vec<_>>(), &[]);
        let (code, out, errors) = tokio::task::spawn_blocking(run).await.unwrap();
        (code, out + &errors)
    }

    /// How many clips are in this state.
    fn count(&self, state: ClipState) -> i64 {
        let db = rusqlite::Connection::open(self.data.path().join("clipkeep.db")).unwrap();
        db.query_row("SELECT count(*) FROM clips WHERE state = ?1", [state.as_str()], |row| row.get(0)).unwrap()
    }
}

/// Neither a node nor any command that writes goes near it, and all say why.
async fn refused_by_all(stopped: &Stopped, settings: &[(&'static str, String)], word: &str) {
    let why = stopped.refusal(settings).await.expect("a node starts on it");
    assert!(why.contains(word) && why.contains("clipkeep doctor --adopt-store"), "{why}");
    if settings.is_empty() {
        std::fs::write(stopped.data.path().join("t.csv"), "url\nhttps://v3.fal.media/a.mp4\n").unwrap();
        let import = format!("import {}", stopped.data.path().join("t.csv").display());
        for line in ["sweep", "sweep --dry-run", "verify --all --mend", "verify c0.mp4 --mend", &import, "doctor"] {
            let (code, said) = stopped.command(line).await;
            assert!(code == 1 && said.contains(word), "{line}: {code} {said}");
        }
    }
    assert_eq!(stopped.count(ClipState::Stored), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn h23_a_store_that_is_not_mounted_is_neither_made_nor_believed() {
    let stopped = Stopped::with(20).await;
    let away = stopped.data.path().join("away");
    std::fs::rename(stopped.store(), &away).unwrap();
    refused_by_all(&stopped, &[], "is it mounted").await;
    assert!(!stopped.store().exists(), "it was made anew");
    // The place where it is mounted is there, and empty.
    std::fs::create_dir(stopped.store()).unwrap();
    refused_by_all(&stopped, &[], "is it mounted").await;
    assert_eq!(stopped.store().read_dir().unwrap().count(), 0);
    // Something else is mounted there.
    std::fs::write(stopped.store().join("x.mp4"), "not ours").unwrap();
    refused_by_all(&stopped, &[], "is it mounted").await;
    std::fs::remove_dir_all(stopped.store()).unwrap();
    std::fs::rename(away, stopped.store()).unwrap();
    assert_eq!(stopped.refusal(&[]).await, None);
    assert_eq!(stopped.count(ClipState::Stored), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn h23_another_catalogues_store_is_refused_until_somebody_says_that_it_is_right() {
    let (stopped, other) = (Stopped::with(20).await, Stopped::with(1).await);
    std::fs::rename(stopped.store(), stopped.data.path().join("away")).unwrap();
    std::fs::rename(other.store(), stopped.store()).unwrap();
    refused_by_all(&stopped, &[], "another catalogue").await;
    // A database that is new, too: the store of a lost one is not taken by accident.
    std::fs::remove_file(stopped.data.path().join("clipkeep.db")).unwrap();
    assert!(stopped.refusal(&[]).await.unwrap().contains("another catalogue"));
    let (_, said) = stopped.command("doctor --adopt-store").await;
    assert!(said.contains("ok   store"), "{said}");
    assert_eq!(stopped.refusal(&[]).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn h23_a_bucket_is_marked_and_another_prefix_is_not_taken_for_it() {
    let place = garage::place();
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let data = Arc::new(tempfile::tempdir().unwrap());
    let t = TestApp::on(sim, data, &[("store", place.url())], &place.aws()).await;
    let source = t.sim.add_file("a.mp4", Media::padded(50_000, 1));
    t.hook("c", &source, "").await;
    t.until("c.mp4", ClipState::Stored).await;
    let (sim, data) = t.stop().await;
    let open = async |url: String| {
        let flags = own_settings(&sim, "http://127.0.0.1:1", data.path(), TOKEN);
        let layers = Layers::new().with_env(place.aws()).with_flags(flags).with_flags([("store", url)]);
        App::open(Config::from_layers(layers).unwrap(), Role::Node).await.map(|_| ()).map_err(|e| format!("{e:#}"))
    };
    assert!(open(format!("{}-other", place.url())).await.unwrap_err().contains("is it mounted"));
    assert_eq!(open(place.url()).await, Ok(()));
}

/// A kill between the catalogue and its mark, a mark whose writing was cut
/// short, one that somebody tidied away, a catalogue older than marks.
#[tokio::test(flavor = "multi_thread")]
async fn h23_a_store_without_its_mark_that_holds_the_clips_is_marked_again() {
    let stopped = Stopped::with(2).await;
    let marker = stopped.store().join(".clipkeep/catalog");
    let mark = std::fs::read_to_string(&marker).unwrap();
    let damages: [fn(&Path); 3] = [
        |marker| std::fs::remove_dir_all(marker.parent().unwrap()).unwrap(),
        |marker| std::fs::write(marker, "").unwrap(),
        |marker| std::fs::write(marker, [0; 4096]).unwrap(),
    ];
    for damage in damages {
        damage(&marker);
        assert_eq!(stopped.refusal(&[]).await, None);
        assert_eq!(std::fs::read_to_string(&marker).unwrap(), mark);
    }
    // Nothing is stored yet: no store is wrong.
    let stopped = Stopped::with(0).await;
    std::fs::remove_dir_all(stopped.store()).unwrap();
    assert_eq!(stopped.refusal(&[]).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn h23_a_store_that_goes_away_under_a_running_node_loses_nothing() {
    let bed = Bed::folder(&[("lease", "1s".to_owned())]).await;
    for n in 0..3 {
        bed.store(&format!("c{n}"), &Media::padded(50_000, n)).await;
    }
    bed.t.register(&serde_json::json!({"request_id": "a", "adopt": true})).await;
    let (store, away) = (bed.t.data.path().join("clips"), bed.t.data.path().join("away"));
    std::fs::rename(&store, &away).unwrap();
    std::fs::create_dir(&store).unwrap();
    let error = bed.t.app.sweep.drift(clipkeep::sweep::drift::DriftSettings::new(Duration::ZERO)).await.unwrap_err();
    assert!(error.to_string().contains("is it mounted"), "{error}");
    // What is deleted meanwhile is not taken for removed.
    bed.t.app.delete(&"c0.mp4".parse().unwrap(), "test").await.unwrap();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let report = bed.t.app.sweep.round().await;
    assert_eq!((report.tombstones.removed, &report.unfinished[..]), (0, &["removals"][..]));
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::rename(&away, &store).unwrap();
    assert!(store.join("c0.mp4").exists());
    assert_eq!(bed.t.app.sweep.round().await.tombstones.removed, 1);
    assert!(!store.join("c0.mp4").exists());
    for key in ["c1.mp4", "c2.mp4"] {
        assert_eq!(bed.clip(key).await.unwrap().state, ClipState::Stored);
    }
    assert_ne!(bed.clip("a.mp4").await.unwrap().state, ClipState::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn h23_what_is_under_the_stores_own_prefix_is_no_orphan() {
    let bed = Bed::folder(&[]).await;
    bed.store("c", &Media::padded(50_000, 1)).await;
    std::fs::write(bed.t.data.path().join("clips/.clipkeep/x.mp4"), "a sidecar").unwrap();
    let report = bed
        .drift(|settings| {
            (settings.adopt, settings.brake, settings.orphan_age) = (true, false, Duration::ZERO);
        })
        .await;
    assert_eq!((report.objects, report.orphans, report.strangers, report.adopted), (1, 0, 0, 0));
    let report = bed
        .drift(|settings| {
            (settings.delete_orphans, settings.brake, settings.orphan_age) = (true, false, Duration::ZERO);
        })
        .await;
    assert_eq!((report.orphans, report.removed), (0, 0));
    assert!(bed.t.data.path().join("clips/.clipkeep/x.mp4").exists());
}

/// The mark is there, the objects are not: a brake before the first row, not
/// after the first nineteen.
#[tokio::test(flavor = "multi_thread")]
async fn h24_verify_mends_nothing_where_nothing_is_right() {
    for clips in [4, 30] {
        let stopped = Stopped::with(clips).await;
        for n in 0..clips {
            std::fs::remove_file(stopped.store().join(format!("c{n}.mp4"))).unwrap();
        }
        for line in ["verify --all --mend", "verify --sample 100 --mend"] {
            let (code, said) = stopped.command(line).await;
            assert!(code == 1 && said.contains("is `store` the right one"), "{said}");
            assert_eq!(stopped.count(ClipState::Stored), clips.cast_signed(), "{line}");
        }
    }
    // One of four is: then it is damage.
    let stopped = Stopped::with(4).await;
    std::fs::remove_file(stopped.store().join("c2.mp4")).unwrap();
    assert_eq!(stopped.command("verify --all --mend").await.0, 1);
    assert_eq!((stopped.count(ClipState::Stored), stopped.count(ClipState::Waiting)), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn h28_staged_files_that_come_and_go_while_they_are_listed_stop_nothing() {
    let bed = Bed::folder(&[]).await;
    bed.store("c", &Media::padded(50_000, 1)).await;
    let staging = bed.t.data.path().join("clips/.staging");
    let ends = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (busy, at) = (Arc::clone(&ends), staging.clone());
    let comings = std::thread::spawn(move || {
        while !busy.load(std::sync::atomic::Ordering::Relaxed) {
            (0..50).for_each(|n| std::fs::write(at.join(format!("{n}.mp4,0")), "x").unwrap());
            (0..50).for_each(|n| std::fs::remove_file(at.join(format!("{n}.mp4,0"))).unwrap());
        }
    });
    for _ in 0..100 {
        bed.t.app.store.list_stale().await.unwrap();
    }
    bed.drift(|_| ()).await;
    ends.store(true, std::sync::atomic::Ordering::Relaxed);
    comings.join().unwrap();
}
