//! Case 42: a backlog starves neither fresh webhooks nor viewers; and the
//! command that works through it.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use clipkeep_core::state::ClipState;
use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    cli::clipkeep,
    support::app::{TestApp, own_settings},
};

const LEN: u64 = 40 << 20;

/// How much of a clip's copy is here, once something is.
async fn here(t: &TestApp, key: &str) -> u64 {
    let began = Instant::now();
    loop {
        if let Some(mut fill) = t.app.engine.find(&key.parse().unwrap()) {
            let sum = fill.copy().await.unwrap().sum();
            if sum > 0 {
                return sum;
            }
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "its fill does not begin");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_42_a_backlog_trickles_while_fresh_clips_and_viewers_run_at_full_speed() {
    let settings = [("deferred_after", "0s"), ("backfill_rate", "64KiB"), ("source_connections_per_host", "2")];
    let t = TestApp::with(&settings.map(|(name, value)| (name, value.to_owned()))).await;
    let old = t.sim.add_file("a.mp4", Media::padded(LEN, 1));
    t.hook("old", &old, "?policy=deferred").await;
    here(&t, "old.mp4").await;
    let fresh = t.sim.add_file("b.mp4", Media::named("silent.mp4"));
    t.hook("fresh", &fresh, "").await;
    // While the backlog's one connection runs on.
    t.until("fresh.mp4", ClipState::Stored).await;
    let trickled = here(&t, "old.mp4").await;
    assert!(trickled < LEN / 2, "{trickled}");
    // At its rate it would take more than a minute.
    let began = Instant::now();
    let body = t.client.get(t.link("old.mp4")).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(body.len() as u64, LEN);
    t.until("old.mp4", ClipState::Stored).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn case_42_a_backlog_that_stands_still_leaves_slots_for_fresh_clips() {
    let t = TestApp::with(&[("deferred_after", "0s".to_owned()), ("fill_concurrency", "4".to_owned())]).await;
    let stands_still = Faults::always(Fault { delay_ms: 60_000, ..Fault::default() });
    for n in 0..10 {
        let source = t.sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), stands_still.clone());
        t.hook(&format!("old{n}"), &source, "?policy=deferred").await;
    }
    for n in 0..10 {
        let key = format!("fresh{n}");
        t.hook(&key, &t.sim.add_file("b.mp4", Media::named("silent.mp4")), "").await;
        t.until(&format!("{key}.mp4"), ClipState::Stored).await;
    }
    assert_eq!(t.app.engine.running(), 2, "half of the slots");
}

/// A data folder whose `count` clips are due, without a node.
async fn due(sim: &Sim, count: usize, faults: &Faults) -> TestApp {
    let data = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let t = TestApp::on(sim.clone(), data, &[("policy", "on_demand".to_owned())], &[]).await;
    for n in 0..count {
        let source = sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), faults.clone());
        t.hook(&format!("c{n}"), &source, "").await;
    }
    let gone = sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(Fault::status(410)));
    t.hook("gone", &gone, "").await;
    t.hook(
        "page",
        &sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(Fault::page("text/html", "<html>"))),
        "",
    )
    .await;
    // A node that was stopped: nothing here fills.
    t.app.engine.close(Duration::ZERO).await;
    let db = rusqlite::Connection::open(t.data.path().join("clipkeep.db")).unwrap();
    db.execute("UPDATE clips SET due_at = 1, queue_at = 1, policy = 'eager'", ()).unwrap();
    db.execute("UPDATE clips SET source_expires_at = 9 WHERE key = 'c3.mp4'", ()).unwrap();
    t
}

async fn states(t: &TestApp) -> Vec<(ClipState, u64)> {
    t.app.catalog.count_by_state().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_it_would_do_and_does_it() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let t = due(&sim, 40, &Faults::none()).await;
    let run = |args: &[&str]| {
        let (code, out, errors) = clipkeep(
            &sim,
            t.data.path(),
            &[&["sweep", "--json"], args].concat(),
            &[("CLIPKEEP_NOT_FOUND_ATTEMPTS", "1")],
        );
        (code, serde_json::from_str::<Value>(&out).unwrap_or_else(|_| panic!("{out} {errors}")))
    };
    let before = states(&t).await;
    let (code, would) = run(&["--dry-run", "--limit", "2"]);
    assert_eq!((code, &would["due"], &would["first"][0]), (0, &json!(42), &json!("c3.mp4")), "{would}");
    assert_eq!(would["first"].as_array().unwrap().len(), 2);
    assert_eq!(states(&t).await, before);
    let (code, some) = run(&["--limit", "5"]);
    assert_eq!((code, ended(&some)), (0, 5), "{some}");
    let (code, rest) = run(&[]);
    assert_eq!((code, ended(&rest)), (0, 37), "{rest}");
    let sum = |name: &str| some[name].as_u64().unwrap() + rest[name].as_u64().unwrap();
    assert_eq!((sum("stored"), sum("lost"), sum("rejected"), sum("later")), (40, 1, 1, 0));
    assert_eq!(states(&t).await.iter().find(|(state, _)| *state == ClipState::Stored).unwrap().1, 40);
    assert_eq!(ended(&run(&[]).1), 0);
    let (_, out, _) = clipkeep(&sim, t.data.path(), &["sweep"], &[]);
    assert!(out.starts_with("nothing to do: 0 rows compared, 40 younger than ") && out.lines().count() == 1, "{out}");
}

fn ended(summary: &Value) -> u64 {
    ["stored", "lost", "rejected", "later"].iter().map(|name| summary[*name].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_stops_in_peace_and_the_next_goes_on() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let slow = Faults::always(Fault { delay_ms: 300, ..Fault::default() });
    let t = due(&sim, 60, &slow).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipkeep"));
    command.args(["sweep", "--json"]).env_clear().stdout(Stdio::piped()).stderr(Stdio::null());
    for (name, value) in own_settings(&sim, "http://127.0.0.1:1", t.data.path(), &t.token) {
        command.env(format!("CLIPKEEP_{}", name.to_uppercase()), value);
    }
    let child = command.env("CLIPKEEP_FILL_CONCURRENCY", "4").spawn().unwrap();
    let stored = async || {
        let states = states(&t).await;
        states.iter().find(|(state, _)| *state == ClipState::Stored).map_or(0, |(_, count)| *count)
    };
    let began = Instant::now();
    while stored().await < 2 {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let out = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    let summary: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((out.status.code(), &summary["stopped"]), (Some(1), &json!(true)), "{summary}");
    assert!(stored().await < 60);
    assert!(states(&t).await.iter().all(|(state, _)| *state != ClipState::Filling), "each was let go");
    let (code, _, errors) = clipkeep(&sim, t.data.path(), &["sweep", "--json"], &[]);
    assert_eq!((code, stored().await), (0, 60), "{errors}");
}
