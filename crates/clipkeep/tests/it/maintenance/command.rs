//! `clipkeep sweep`, typed by a person beside a node that fills nothing.

use std::time::Duration;

use clipkeep_core::state::ClipState;
use fal_sim::Media;
use serde_json::{Value, json};

use super::Bed;
use crate::{cli::clipkeep, cold::all};

const ENV: [(&str, &str); 2] = [("CLIPKEEP_LEASE", "60s"), ("CLIPKEEP_RETENTION", "tenant=trial:1d")];

fn media() -> Media {
    of(0)
}

/// The bytes of a bed's clips: no two are alike.
fn of(number: u64) -> Media {
    Media::padded(100_000, number)
}

/// Clips that were stored an hour ago, and a node that fills nothing any more.
async fn bed(clips: &[(&str, &str)]) -> Bed {
    let bed = Bed::folder(&[]).await;
    for (number, (id, query)) in (0..).zip(clips) {
        bed.store_as(id, &of(number), query).await;
    }
    bed.t.app.engine.close(Duration::ZERO).await;
    execute(&bed, "UPDATE clips SET stored_at = stored_at - 3600000");
    bed
}

fn execute(bed: &Bed, sql: &str) {
    let db = rusqlite::Connection::open(bed.t.data.path().join("clipkeep.db")).unwrap();
    db.busy_timeout(Duration::from_secs(30)).unwrap();
    db.execute(sql, ()).unwrap();
}

/// Makes an object older.
fn age(bed: &Bed, name: &str, age: Duration) {
    let file = std::fs::File::options().write(true).open(bed.t.data.path().join("clips").join(name)).unwrap();
    file.set_modified(file.metadata().unwrap().modified().unwrap() - age).unwrap();
}

async fn sweep(bed: &Bed, args: &[&str]) -> (i32, String) {
    let (sim, data, args) = (bed.t.sim.clone(), bed.t.data.clone(), [&["sweep"], args].concat().join(" "));
    let run = move || clipkeep(&sim, data.path(), &args.split(' ').collect::<Vec<_>>(), &ENV);
    let (code, out, errors) = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(!out.is_empty(), "{errors}");
    (code, out)
}

async fn told(bed: &Bed, args: &[&str]) -> Value {
    serde_json::from_str(&sweep(bed, &[&["--json"], args].concat()).await.1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_all_that_would_be_done_and_does_nothing() {
    let bed = bed(&[("gone", ""), ("old", "?tenant=trial"), ("kept", ""), ("young", ""), ("dead", "")]).await;
    execute(&bed, "UPDATE clips SET created_at = created_at - 2 * 86400000 WHERE key = 'old.mp4'");
    execute(&bed, "UPDATE clips SET stored_at = stored_at + 3600000 WHERE key = 'young.mp4'");
    assert_eq!(super::delete::delete(&bed.t, "dead.mp4").await, 204);
    execute(&bed, "UPDATE clips SET remove_at = 1 WHERE key = 'dead.mp4'");
    bed.raw.delete("gone.mp4").await;
    bed.raw.put("kept.mp4", &b"short"[..]).await;
    bed.raw.put("stray.mp4", all(&media())).await;
    let would = told(&bed, &["--dry-run"]).await;
    assert_eq!(would["too_old"], json!({"clips": 1, "first": ["old.mp4"]}));
    assert_eq!(would["tombstones"], 1);
    let drift = &would["drift"];
    let numbers = ["rows", "young", "missing", "wrong_size", "orphans"].map(|name| drift[name].as_u64().unwrap());
    assert_eq!(numbers, [3, 1, 1, 1, 1], "{would}");
    assert_eq!(drift["examples"], json!(["stray.mp4"]));
    // Orphans are adopted soon, and removed late.
    let of = |would: &Value| ["adopted", "removed", "too_young"].map(|name| would["drift"][name].as_u64().unwrap());
    assert_eq!(of(&told(&bed, &["--dry-run", "--adopt"]).await), [0, 0, 1]);
    age(&bed, "stray.mp4", Duration::from_secs(3600));
    assert_eq!(of(&told(&bed, &["--dry-run", "--adopt"]).await), [1, 0, 0]);
    assert_eq!(of(&told(&bed, &["--dry-run", "--delete-orphans"]).await), [0, 0, 1]);
    age(&bed, "stray.mp4", Duration::from_secs(2 * 86400));
    assert_eq!(of(&told(&bed, &["--dry-run", "--delete-orphans"]).await), [0, 1, 0]);
    let (code, text) = sweep(&bed, &["--dry-run"]).await;
    assert_eq!(code, 0);
    for part in [
        "1 clip to be deleted for age; 1 object of deleted clips to be removed for good",
        "             old.mp4",
        "3 rows compared, 1 younger than 2m passed over: 1 without an object, 1 of another size",
        "hint: --adopt",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    for key in ["gone.mp4", "old.mp4", "kept.mp4"] {
        assert_eq!(bed.clip(key).await.unwrap().state, ClipState::Stored, "{key}");
    }
    assert!(bed.raw.get("stray.mp4").await.is_some() && bed.clip("stray.mp4").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_mends_the_drift_that_it_finds_and_the_next_has_nothing_to_do() {
    let bed = bed(&[("gone", ""), ("kept", "")]).await;
    bed.raw.delete("gone.mp4").await;
    let summary = told(&bed, &[]).await;
    assert_eq!((&summary["drift"]["missing"], &summary["stored"]), (&json!(1), &json!(1)), "{summary}");
    assert_eq!(bed.clip("gone.mp4").await.unwrap().state, ClipState::Stored);
    assert_eq!(bed.raw.get("gone.mp4").await.unwrap(), all(&media()));
    let (code, text) = sweep(&bed, &[]).await;
    assert_eq!((code, text.as_str()), (0, "nothing to do: 1 row compared, 1 younger than 2m passed over; 2 objects\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gave_a_flag_is_not_told_to_give_it() {
    let bed = bed(&[("kept", "")]).await;
    bed.raw.put("stray.mp4", all(&media())).await;
    assert!(sweep(&bed, &[]).await.1.contains("hint: --adopt"));
    for (flag, grace) in [("--adopt", "2m"), ("--delete-orphans", "1d")] {
        let (_, text) = sweep(&bed, &[flag]).await;
        assert!(!text.contains("hint") && text.contains(&format!("1 younger than {grace} passed over")), "{text}");
    }
    age(&bed, "stray.mp4", Duration::from_secs(3600));
    let (code, text) = sweep(&bed, &["--adopt"]).await;
    assert!(code == 0 && text.contains("1 adopted") && text.contains("1 stored"), "{text}");
}
