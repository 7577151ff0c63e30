//! A clip whose fills take their process with them, on real processes.

use std::{path::Path, process::Command, process::Stdio, time::Duration};

use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use serde_json::Value;

use crate::support::{
    app::own_settings,
    node::{Node, NodeConfig, TOKEN},
    postgres,
};

const MIB: u64 = 1 << 20;

struct Bed {
    sim: Sim,
    dir: tempfile::TempDir,
    config: NodeConfig,
}

impl Bed {
    async fn new(database: Option<String>) -> Self {
        let sim = Sim::start(SimOptions::default()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        // What stands still is still at it.
        let mut config = NodeConfig::new(&dir.path().join("data")).set("lease", "3s");
        config = config.set("source_stall_timeout", "10m").set("source_first_byte_timeout", "10m");
        if let Some(url) = database {
            config = config.set("database", url);
        }
        Self { sim, dir, config }
    }

    /// A source that gives so many bytes and then stands still.
    fn stuck(&self, at: u64) -> String {
        self.sim.add_faulty_file("a.mp4", Media::padded(8 * MIB, 1), Faults::always(stuck(at)))
    }

    /// Waits for the `n`-th attempt at the clip.
    async fn attempt(&self, node: &Node, key: &str, n: u64) {
        self.until(node, key, |clip| clip["state"] == "filling" && clip["attempts"] == n).await;
    }

    async fn until(&self, node: &Node, key: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let began = tokio::time::Instant::now();
        loop {
            let clip = node.api(&format!("/api/v1/clips/{key}")).await;
            if let Some(clip) = clip.as_ref().filter(|clip| holds(clip)) {
                return clip.clone();
            }
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{clip:?}\n{}", log(&node.log));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The words of the clip's history.
    async fn story(&self, node: &Node, key: &str) -> Vec<String> {
        let history = node.api(&format!("/api/v1/clips/{key}/history")).await.unwrap();
        let lines = history["history"].as_array().unwrap().iter();
        lines.map(|line| line["event"].as_str().unwrap().to_owned()).collect()
    }
}

fn stuck(at: u64) -> Fault {
    Fault { no_ranges: true, ..Fault::stall_at(at) }
}

fn log(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

async fn three_kills_end_the_clip(bed: Bed) {
    let mut node = bed.config.start(&bed.sim).await;
    assert_eq!(node.hook(&bed.sim, "bad", &bed.stuck(0)).await, Some(200));
    for n in 1..=3 {
        bed.attempt(&node, "bad.mp4", n).await;
        node.kill();
        node = bed.config.start(&bed.sim).await;
    }
    let clip = bed.until(&node, "bad.mp4", |clip| clip["state"] == "rejected").await;
    assert!(clip["last_error"].as_str().unwrap().starts_with("its attempts end without an answer"), "{clip}");
    assert_eq!(clip["attempts"], 3);
    let story = bed.story(&node, "bad.mp4").await;
    assert_eq!(story, ["received", "claimed", "vanished", "claimed", "vanished", "claimed", "rejected"]);
    // Other clips come in as ever, and this one when somebody asks for it.
    let good = bed.sim.add_file("b.mp4", Media::named("silent.mp4"));
    assert_eq!(node.hook(&bed.sim, "good", &good).await, Some(200));
    bed.until(&node, "good.mp4", |clip| clip["state"] == "stored").await;
    bed.sim.set_faults(clip["source_url"].as_str().unwrap(), Faults::none());
    let fill = node.client.post(format!("{}/api/v1/clips/bad.mp4/fill", node.url)).bearer_auth(TOKEN).send().await;
    let fill: Value = fill.unwrap().json().await.unwrap();
    assert_eq!(fill["fill"], "restarted");
    bed.until(&node, "bad.mp4", |clip| clip["state"] == "stored").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h01_a_clip_that_takes_its_node_with_it_three_times_ends_on_sqlite() {
    three_kills_end_the_clip(Bed::new(None).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h01_a_clip_that_takes_its_node_with_it_three_times_ends_on_postgresql() {
    three_kills_end_the_clip(Bed::new(Some(postgres::database().await)).await).await;
}

/// Nodes that are redeployed under a long fill: killed, but each time after more
/// of it is here; or stopped in peace, however often.
#[tokio::test(flavor = "multi_thread")]
async fn h01_nodes_that_are_redeployed_under_a_long_fill_lose_nothing() {
    let mut bed = Bed::new(None).await;
    bed.config = bed.config.clone().set("shutdown_grace", "100ms");
    let source = bed.stuck(MIB);
    let mut node = bed.config.start(&bed.sim).await;
    assert_eq!(node.hook(&bed.sim, "long", &source).await, Some(200));
    let reached = async |at: i64| {
        let began = tokio::time::Instant::now();
        while bed.config.row("SELECT reached, vanished, 0, 0 FROM clips").await[0] < at {
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "it does not get on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    for n in 1..=4 {
        bed.attempt(&node, "long.mp4", n).await;
        reached((n * MIB).cast_signed() * 9 / 10).await;
        node.kill();
        bed.sim.set_faults(&source, Faults::always(stuck((n + 1) * MIB)));
        node = bed.config.start(&bed.sim).await;
    }
    for _ in 0..4 {
        bed.attempt(&node, "long.mp4", 5).await;
        assert_eq!(node.terminate().await, Some(0));
        node = bed.config.start(&bed.sim).await;
    }
    bed.sim.set_faults(&source, Faults::none());
    node.kill();
    let node = bed.config.start(&bed.sim).await;
    bed.until(&node, "long.mp4", |clip| clip["state"] == "stored").await;
}

/// All that a process fills vanishes with it; the innocent come through.
#[tokio::test(flavor = "multi_thread")]
async fn h01_clips_that_vanish_beside_the_guilty_one_are_kept() {
    let bed = Bed::new(None).await;
    let mut node = bed.config.start(&bed.sim).await;
    let guilty = bed.stuck(0);
    let slow = Faults::always(Fault { delay_ms: 600_000, ..Fault::default() });
    let innocent: Vec<String> =
        (0..6).map(|_| bed.sim.add_faulty_file("b.mp4", Media::named("silent.mp4"), slow.clone())).collect();
    assert_eq!(node.hook(&bed.sim, "bad", &guilty).await, Some(200));
    for (n, source) in innocent.iter().enumerate() {
        assert_eq!(node.hook(&bed.sim, &format!("good{n}"), source).await, Some(200));
    }
    // Twice all are in flight when the process dies.
    for n in 1..=2 {
        for key in (0..6).map(|n| format!("good{n}.mp4")).chain(["bad.mp4".to_owned()]) {
            bed.attempt(&node, &key, n).await;
        }
        node.kill();
        if n == 2 {
            innocent.iter().for_each(|source| bed.sim.set_faults(source, Faults::none()));
        }
        node = bed.config.start(&bed.sim).await;
    }
    // The next time as soon as it is the guilty one's turn.
    bed.attempt(&node, "bad.mp4", 3).await;
    node.kill();
    let node = bed.config.start(&bed.sim).await;
    bed.until(&node, "bad.mp4", |clip| clip["state"] == "rejected").await;
    for n in 0..6 {
        bed.until(&node, &format!("good{n}.mp4"), |clip| clip["state"] == "stored").await;
    }
}

fn command(bed: &Bed, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipkeep"));
    command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let own = own_settings(&bed.sim, "http://127.0.0.1:1", &bed.config.data, TOKEN);
    for (name, value) in own.into_iter().chain(bed.config.settings.clone()) {
        command.env(format!("CLIPKEEP_{}", name.to_uppercase()), value);
    }
    command
}

/// Runs a command until the clip's `n`-th attempt is under way, and kills it.
async fn killed_in_attempt(bed: &Bed, args: &[&str], n: i64) {
    let mut child = command(bed, args).spawn().unwrap();
    let began = tokio::time::Instant::now();
    let sql = "SELECT count(*), coalesce(max(attempts), 0), 0, 0 FROM clips WHERE state = 'filling'";
    while !bed.config.data.join("clipkeep.db").exists() || bed.attempts(sql) != [1, n] {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{args:?}: no attempt {n}");
        assert!(child.try_wait().unwrap().is_none(), "{args:?} ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

impl Bed {
    /// How many clips are being filled, and their attempts; the tables may not be
    /// there yet.
    fn attempts(&self, sql: &str) -> [i64; 2] {
        let db = rusqlite::Connection::open(self.config.data.join("clipkeep.db")).unwrap();
        db.busy_timeout(Duration::from_secs(5)).unwrap();
        db.query_row(sql, (), |row| Ok([row.get(0)?, row.get(1)?])).unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h01_import_and_sweep_end_such_a_clip_too() {
    let bed = Bed::new(None).await;
    let table = bed.dir.path().join("urls.csv");
    std::fs::write(&table, format!("url,request_id\n{},bad\n", bed.stuck(0))).unwrap();
    let import = ["import", "--json", table.to_str().unwrap()];
    killed_in_attempt(&bed, &import, 1).await;
    killed_in_attempt(&bed, &import, 2).await;
    // Its lease must run out before a sweep sees that it is due.
    tokio::time::sleep(Duration::from_millis(3100)).await;
    killed_in_attempt(&bed, &["sweep", "--json"], 3).await;
    let summary = |args: &[&str]| -> Value {
        let out = tokio::task::block_in_place(|| command(&bed, args).output().unwrap());
        serde_json::from_slice(&out.stdout).unwrap()
    };
    let told = summary(&import);
    assert_eq!((&told["rejected"], &told["lines"]), (&1.into(), &1.into()), "{told}");
    assert_eq!(bed.config.row("SELECT attempts, vanished, fence, 0 FROM clips").await[..2], [3, 2]);
    // Imported once more it stays so: nothing takes the process along again.
    assert_eq!(summary(&import)["rejected"], 1);
    assert_eq!(summary(&["sweep", "--json", "--retry", "lost,rejected"])["retried"], 0);
    let named = summary(&["sweep", "--json", "--dry-run", "--retry", "rejected", "--reason", "without an answer"]);
    assert_eq!(named["would_retry"], 1, "{named}");
}
