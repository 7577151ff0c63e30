//! `kill -9` inside a deletion, inside the unsharing of clips that share an object,
//! and inside the loss of one: what is done is done once, nothing is lost, and the
//! books say who pays.

use std::{path::Path, sync::Arc, time::Duration};

use fal_sim::{Media, Sim, SimOptions};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::support::{
    chaos::{Behind, Chaos, Side},
    eventually::{PATIENCE, eventually},
    node::{Node, NodeConfig, TOKEN},
    postgres,
};

/// How many stories run side by side.
const PARALLEL: usize = 3;
/// How many messages of a long story are killed at, at most.
const POINTS: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Deletion,
    Unsharing,
    Loss,
}

/// A node with two clips that share an object, and some others.
struct Story {
    sim: Sim,
    config: NodeConfig,
    /// The database, past the proxy.
    database: String,
    chaos: Chaos,
    media: Media,
    dir: tempfile::TempDir,
}

impl Story {
    async fn new() -> Self {
        let sim = Sim::start(SimOptions::default()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let url = postgres::database().await;
        let rest = url.strip_prefix("postgres://clipkeep@").unwrap();
        let (host, name) = rest.split_once('/').unwrap();
        let socket = Path::new(&host.replace("%2F", "/")).join(".s.PGSQL.5432");
        let chaos = Chaos::before(Behind::Postgres(socket)).await;
        let config = NodeConfig::new(&dir.path().join("data"))
            .set("lease", "1s")
            .set("sweep_interval", "1s")
            .set("drift_interval", "1s")
            .set("database", format!("postgres://clipkeep@127.0.0.1:{}/{name}", chaos.port));
        Self { sim, config, database: url, chaos, media: Media::padded(100_000, 1), dir }
    }

    fn object(&self, key: &str) -> std::path::PathBuf {
        self.dir.path().join("data/clips").join(key)
    }

    async fn stored(&self, node: &Node, id: &str, media: Media) {
        let source = self.sim.add_file("a.mp4", media);
        // A busy machine answers 503 at times, and the provider tries again.
        let told = async || (node.hook(&self.sim, id, &source).await == Some(200)).then_some(());
        eventually(format!("the webhook of {id} is taken"), told).await;
        self.until(node, id, "stored").await;
    }

    /// Waits until the clip is in this state.
    async fn until(&self, node: &Node, id: &str, state: &str) {
        let began = tokio::time::Instant::now();
        loop {
            let clip = node.api(&format!("/api/v1/clips/{id}.mp4")).await;
            if clip.as_ref().is_some_and(|clip| clip["state"] == state) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{id} is not {state}: {clip:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Begins the end; whether the node answered.
    async fn begin(&self, node: &Node, end: End) -> bool {
        let api = format!("{}/api/v1", node.url);
        match end {
            End::Deletion => {
                let request = node.client.delete(format!("{api}/clips/twin.mp4")).bearer_auth(TOKEN);
                request.send().await.is_ok_and(|answer| answer.status() == 204)
            }
            End::Unsharing => {
                let body = json!({"request_id": "gen", "tenant": "acme"});
                let request = node.client.post(format!("{api}/generations")).bearer_auth(TOKEN).json(&body);
                request.send().await.is_ok_and(|answer| answer.status().is_success())
            }
            End::Loss => {
                let _ = std::fs::remove_file(self.object("twin.mp4"));
                true
            }
        }
    }

    /// Whether all of it is done.
    async fn is_done(&self, node: &Node, end: End) -> bool {
        let clip = async |id: &str| node.api(&format!("/api/v1/clips/{id}.mp4")).await.unwrap_or_default();
        match end {
            End::Deletion => clip("twin").await["state"] == "deleted",
            End::Unsharing => self.books().await == [2, 0, 0, 0],
            End::Loss => {
                let lost = async |id: &str| {
                    let told = node.api(&format!("/api/v1/clips/{id}.mp4/history")).await.unwrap_or_default();
                    told.to_string().contains("object_lost") && clip(id).await["state"] == "stored"
                };
                lost("twin").await && lost("gen").await
            }
        }
    }

    /// Of the two: open storage periods; clips that share; clips that are to be unshared; and those
    /// that pay twice.
    async fn books(&self) -> [i64; 4] {
        let sql = "SELECT (SELECT count(*) FROM storage_periods WHERE to_at IS NULL AND key IN ('twin.mp4', 'gen.mp4')), \
            (SELECT count(*) FROM clips WHERE object_key IS NOT NULL AND state = 'stored'), \
            (SELECT count(*) FROM clips WHERE unshare_at IS NOT NULL), \
            (SELECT count(*) FROM (SELECT 1 FROM storage_periods WHERE to_at IS NULL GROUP BY key HAVING count(*) > 1) d)";
        let row = postgres::connect(&self.database).await.query_one(sql, &[]).await.unwrap();
        [0, 1, 2, 3].map(|column| row.get(column))
    }

    /// Who was killed with a claim on clips to be unshared holds them for ten minutes.
    /// What it sent last may still be on its way through the database: a claim
    /// that is written after this would hold them all the same.
    async fn let_holds_run_out(&self) {
        let database = postgres::connect(&self.database).await;
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
            AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        eventually("nobody else asks the database", async || {
            let others: i64 = database.query_one(sql, &[]).await.unwrap().get(0);
            (others == 0).then_some(())
        })
        .await;
        database.batch_execute("UPDATE clips SET unshare_at = 0 WHERE unshare_at IS NOT NULL").await.unwrap();
    }

    async fn check(&self, node: &Node, end: End, what: &str) {
        let whole = |key: &str| {
            let bytes = std::fs::read(self.object(key)).unwrap_or_default();
            let hash = ring::digest::digest(&ring::digest::SHA256, &bytes);
            data_encoding::HEXLOWER.encode(hash.as_ref()) == self.media.sha256()
        };
        let count = async |id: &str, word: &str| {
            let told = asked(node, &format!("/api/v1/clips/{id}.mp4/history")).await;
            told["history"].as_array().unwrap().iter().filter(|line| line["event"] == word).count()
        };
        match end {
            End::Deletion => {
                assert!(whole("twin.mp4"), "{what}: another clip refers to its object");
                assert_eq!(self.books().await, [1, 1, 0, 0], "{what}");
                assert_eq!(count("twin", "deleted").await, 1, "{what}");
                let request = node.client.delete(format!("{}/api/v1/clips/gen.mp4", node.url)).bearer_auth(TOKEN);
                assert_eq!(request.send().await.unwrap().status(), 204);
                let began = tokio::time::Instant::now();
                while self.object("twin.mp4").exists() || self.object("gen.mp4").exists() {
                    assert!(began.elapsed() < PATIENCE, "{what}: an object stays");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                assert_eq!(self.books().await, [0, 0, 0, 0], "{what}");
            }
            End::Unsharing => {
                assert!(whole("twin.mp4") && whole("gen.mp4"), "{what}");
                assert_eq!(count("gen", "unshared").await, 1, "{what}");
            }
            End::Loss => {
                // Filled at the same time they may not see each other.
                let [paying, sharing, _, twice] = self.books().await;
                assert_eq!((paying + sharing, twice), (2, 0), "{what}");
                assert!(whole("twin.mp4") || whole("gen.mp4"), "{what}");
                for id in ["twin", "gen"] {
                    assert_eq!(count(id, "object_lost").await, 1, "{what}");
                    let clip = asked(node, &format!("/api/v1/clips/{id}.mp4")).await;
                    assert_eq!(clip["sha256"], self.media.sha256(), "{what}");
                }
            }
        }
    }
}

/// What a node answers, which is 503 at times on a busy machine.
async fn asked(node: &Node, path: &str) -> Value {
    eventually(format!("an answer to {path}"), || node.api(path)).await
}

/// Runs the story, killed at this message of the node's; answers how many there
/// were.
async fn run(end: End, kill_at: Option<(u32, Side)>) -> u32 {
    let story = Story::new().await;
    let mut node = story.config.start(&story.sim).await;
    story.stored(&node, "twin", story.media.clone()).await;
    story.stored(&node, "gen", story.media.clone()).await;
    // Drift does nothing where most objects are gone.
    for n in 0..if end == End::Loss { 5 } else { 0 } {
        story.stored(&node, &format!("other{n}"), Media::padded(60_000, 9 + n)).await;
    }
    assert_eq!(story.books().await, [1, 1, 0, 0]);
    story.chaos.arm(node.pid(), kill_at);
    let mut has_begun = story.begin(&node, end).await;
    let began = tokio::time::Instant::now();
    loop {
        if node.is_dead() {
            story.chaos.disarm();
            story.let_holds_run_out().await;
            node = story.config.start(&story.sim).await;
        }
        has_begun = has_begun || story.begin(&node, end).await;
        if has_begun && story.is_done(&node, end).await {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{end:?} {kill_at:?}: {:?}", story.books().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let messages = story.chaos.disarm();
    while story.chaos.has_killed(node.pid()) && !node.is_dead() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if node.is_dead() {
        node = story.config.start(&story.sim).await;
    }
    story.check(&node, end, &format!("{end:?} killed at {kill_at:?}")).await;
    messages
}

/// Once undisturbed to learn how many messages there are, then killed at some.
async fn at_its_messages(end: End) {
    let messages = run(end, None).await;
    assert!(messages > 3, "{messages}");
    let (slots, mut stories) = (Arc::new(Semaphore::new(PARALLEL)), JoinSet::new());
    let step = messages.div_ceil(POINTS).max(1);
    for number in (1..=messages).step_by(step as usize) {
        let side = if number % 2 == 0 { Side::Before } else { Side::After };
        let slots = Arc::clone(&slots);
        stories.spawn(async move {
            let _slot = slots.acquire().await.unwrap();
            run(end, Some((number, side))).await
        });
    }
    while let Some(ended) = stories.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h53_killed_inside_a_deletion() {
    at_its_messages(End::Deletion).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h53_killed_inside_an_unsharing() {
    at_its_messages(End::Unsharing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h53_killed_inside_a_loss() {
    at_its_messages(End::Loss).await;
}
