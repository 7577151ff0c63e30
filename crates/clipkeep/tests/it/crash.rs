//! Case 39: `kill -9` at every step between a webhook's receipt and `stored`.
//! After a restart nothing is lost, nothing is there twice, nothing lies about.

use std::{path::Path, sync::Arc, time::Duration};

use clipkeep::store::{Store, StoreTarget, UploadLimits};
use clipkeep_core::config::{Config, Layers};
use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use futures_util::TryStreamExt;
use serde_json::Value;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::support::{
    chaos::{Behind, Chaos, Side},
    eventually::eventually,
    garage,
    node::{Node, NodeConfig},
    postgres,
};

/// Three parts, the last one short.
const LEN: u64 = (2 << 23) + 100_000;
/// How many stories run side by side.
const PARALLEL: usize = 6;

/// One node on its parts, with the proxies that watch it.
struct Story {
    sim: Sim,
    config: NodeConfig,
    store: StoreTarget,
    database: Option<Chaos>,
    bucket: Option<Chaos>,
    media: Media,
    source: String,
    /// Whether a clip with the same bytes is stored before.
    twin: bool,
    dir: tempfile::TempDir,
}

#[derive(Clone, Copy)]
enum Database {
    Sqlite,
    Postgres,
}

#[derive(Clone, Copy)]
enum Place {
    Folder,
    Garage,
}

impl Story {
    async fn new(database: Database, place: Place) -> Self {
        let sim = Sim::start(SimOptions::default()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let media = Media::padded(LEN, u64::from(std::process::id()));
        let source = sim.add_file("out.mp4", media.clone());
        let mut config = NodeConfig::new(&dir.path().join("data")).set("lease", "1s");
        let (mut database_proxy, mut bucket_proxy) = (None, None);
        if matches!(database, Database::Postgres) {
            let (url, chaos) = proxied_postgres().await;
            config = config.set("database", url);
            database_proxy = Some(chaos);
        }
        let store = match place {
            Place::Folder => StoreTarget::Folder(dir.path().join("data/clips")),
            Place::Garage => {
                let place = garage::place();
                let chaos = Chaos::before(Behind::Http(place.endpoint.replace("http://", ""))).await;
                config = config.set("store", place.url());
                config.aws = place.aws_through(&format!("http://127.0.0.1:{}", chaos.port));
                bucket_proxy = Some(chaos);
                let direct = Layers::new().with_env(place.aws()).with_flags([("store", place.url())]);
                let settings = Config::from_layers(direct).unwrap().s3;
                StoreTarget::S3 { bucket: garage::BUCKET.to_owned(), prefix: place.prefix, settings }
            }
        };
        Self { sim, config, store, database: database_proxy, bucket: bucket_proxy, media, source, twin: false, dir }
    }

    fn watched(&self) -> &Chaos {
        self.bucket.as_ref().or(self.database.as_ref()).unwrap()
    }

    /// Sends the webhook as fal does: until it is answered with 200. Starts the
    /// node again when it died.
    async fn send(&self, node: &mut Node) {
        loop {
            if node.hook(&self.sim, "gen", &self.source).await == Some(200) {
                return;
            }
            if node.is_dead() {
                *node = self.restart().await;
            }
        }
    }

    async fn restart(&self) -> Node {
        for chaos in self.database.iter().chain(&self.bucket) {
            chaos.disarm();
        }
        self.config.start(&self.sim).await
    }

    /// Stores a clip with the same bytes, undisturbed.
    async fn store_twin(&self, node: &Node) {
        assert_eq!(node.hook(&self.sim, "twin", &self.sim.add_file("twin.mp4", self.media.clone())).await, Some(200));
        eventually("the twin is stored", || async {
            (node.api("/api/v1/clips/twin.mp4").await?["state"] == "stored").then_some(())
        })
        .await;
    }

    /// Waits for `stored`, starting the node again when it dies, and never
    /// sees `stored` without the bytes.
    async fn until_stored(&self, node: &mut Node) -> Value {
        let began = tokio::time::Instant::now();
        loop {
            if node.is_dead() {
                *node = self.restart().await;
            }
            if let Some(clip) = node.api("/api/v1/clips/gen.mp4").await
                && clip["state"] == "stored"
            {
                return clip;
            }
            let log = || std::fs::read_to_string(&node.log).unwrap_or_default();
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "not stored:\n{}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the API says. A kill may still be on its way when `stored` is seen.
    async fn ask(&self, node: &mut Node, path: &str) -> Value {
        loop {
            if node.is_dead() {
                *node = self.restart().await;
            }
            if let Some(answer) = node.api(path).await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Nothing lost, nothing twice, nothing lies about.
    async fn check(&self, node: &mut Node, what: &str) {
        let clip = self.until_stored(node).await;
        let store =
            Store::open(self.store.clone(), UploadLimits { memory: 8 << 20, clip_size: 1 << 30 }).await.unwrap();
        let (key, clips) = if self.twin { ("twin.mp4", 2) } else { ("gen.mp4", 1) };
        let digest = store.hash(&key.parse().unwrap()).await.unwrap();
        assert_eq!((digest.size, &digest.sha256), (self.media.len(), &self.media.sha256()), "{what}");
        assert_eq!(
            (&clip["size"], &clip["sha256"]),
            (&Value::from(digest.size), &Value::from(digest.sha256)),
            "{what}"
        );
        let list = self.ask(node, "/api/v1/clips").await;
        assert_eq!(list["clips"].as_array().unwrap().len(), clips, "{what}");
        let history = self.ask(node, "/api/v1/clips/gen.mp4/history").await;
        let events = history["history"].as_array().unwrap();
        let stored = events.iter().filter(|event| event["event"] == "stored").count();
        assert_eq!(stored, 1, "{what}: {events:?}");
        let began = tokio::time::Instant::now();
        while files(&self.dir.path().join("data/partials")) > 0 {
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{what}");
            // A kill that was still on its way: it is started again.
            self.ask(node, "/api/v1/clips").await;
        }
        if let StoreTarget::Folder(root) = &self.store {
            assert_eq!(files(root), 2, "{what}: the object and the mark");
        }
        assert_eq!(store.list().try_concat().await.unwrap().len(), 1, "{what}");
        assert_eq!(store.list_stale().await.unwrap(), [], "{what}");
        // The object is paid for by one clip, and each generation holds its names.
        let books = "SELECT count(*), CAST(sum(size) AS BIGINT), count(to_at), (SELECT count(*) FROM key_owners) FROM storage_periods";
        assert_eq!(self.config.row(books).await, [1, digest.size.cast_signed(), 0, clips as i64], "{what}");
    }
}

async fn proxied_postgres() -> (String, Chaos) {
    let url = postgres::database().await;
    let rest = url.strip_prefix("postgres://clipkeep@").unwrap();
    let (host, name) = rest.split_once('/').unwrap();
    let socket = Path::new(&host.replace("%2F", "/")).join(".s.PGSQL.5432");
    let chaos = Chaos::before(Behind::Postgres(socket)).await;
    (format!("postgres://clipkeep@127.0.0.1:{}/{name}", chaos.port), chaos)
}

fn files(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let count = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path) } else { 1 }
    };
    entries.map(count).sum()
}

async fn until(mut holds: impl FnMut() -> bool, what: &str) {
    eventually(what, || std::future::ready(holds().then_some(()))).await;
}

/// Runs the story with a kill at message `kill_at` of the watched proxy;
/// answers how many messages there were.
async fn run(database: Database, place: Place, twin: bool, kill_at: Option<(u32, Side)>) -> u32 {
    let story = Story { twin, ..Story::new(database, place).await };
    let mut node = story.config.start(&story.sim).await;
    if twin {
        story.store_twin(&node).await;
    }
    story.watched().arm(node.pid(), kill_at);
    story.send(&mut node).await;
    story.until_stored(&mut node).await;
    let messages = story.watched().disarm();
    story.check(&mut node, &format!("killed at {kill_at:?}")).await;
    messages
}

/// Once undisturbed to learn how many messages there are, then killed at each.
async fn at_every_message(database: Database, place: Place, twin: bool) {
    let messages = run(database, place, twin, None).await;
    assert!(messages > 3, "{messages}");
    let slots = Arc::new(Semaphore::new(PARALLEL));
    let mut stories = JoinSet::new();
    for number in 1..=messages {
        for side in [Side::Before, Side::After] {
            let slots = Arc::clone(&slots);
            stories.spawn(async move {
                let _slot = slots.acquire().await.unwrap();
                run(database, place, twin, Some((number, side))).await
            });
        }
    }
    while let Some(ended) = stories.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_39_killed_at_every_request_to_the_bucket_on_sqlite() {
    at_every_message(Database::Sqlite, Place::Garage, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_39_killed_at_every_request_to_the_bucket_on_postgresql() {
    at_every_message(Database::Postgres, Place::Garage, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_39_killed_at_every_message_to_postgresql() {
    at_every_message(Database::Postgres, Place::Folder, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_39_killed_at_every_message_while_a_clip_comes_to_share_an_object() {
    at_every_message(Database::Postgres, Place::Folder, true).await;
    at_every_message(Database::Sqlite, Place::Garage, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_39_killed_while_the_source_stands_still() {
    let points = [
        Fault { delay_ms: 60_000, ..Fault::default() },
        Fault::stall_at(1),
        Fault::stall_at(LEN / 2),
        Fault::stall_at(LEN - 1),
    ];
    for place in [Place::Folder, Place::Garage] {
        for fault in points.clone() {
            let story = Story::new(Database::Sqlite, place).await;
            story.sim.set_faults(&story.source, Faults::first(1, fault.clone()));
            let mut node = story.config.start(&story.sim).await;
            story.send(&mut node).await;
            until(|| !story.sim.requests_for(&story.source).is_empty(), "the download begins").await;
            let expected = fault.stall_at.unwrap_or(0);
            until(|| story.sim.bytes_served(&story.source) >= expected, "the source stalls").await;
            node.kill();
            let mut node = story.restart().await;
            story.check(&mut node, &format!("{fault:?}")).await;
        }
    }
}

/// The steps that no proxy sees: SQLite's commits, the folder's links. Killed
/// when a file appears, and at moments spread over the whole story.
#[tokio::test(flavor = "multi_thread")]
async fn case_39_killed_at_any_moment_on_sqlite_and_a_folder() {
    let slots = Arc::new(Semaphore::new(PARALLEL));
    let mut stories = JoinSet::new();
    for moment in 0..36_u64 {
        let slots = Arc::clone(&slots);
        stories.spawn(async move {
            let _slot = slots.acquire().await.unwrap();
            let story = Story::new(Database::Sqlite, Place::Folder).await;
            let mut node = story.config.start(&story.sim).await;
            let sent = node.hook(&story.sim, "gen", &story.source);
            // A third of them while the webhook is on its way, the rest over
            // the next moments.
            let pause = Duration::from_micros(if moment < 12 { moment * 300 } else { (moment - 11) * 8000 });
            let acknowledged = tokio::select! {
                status = sent => { tokio::time::sleep(pause).await; status == Some(200) }
                () = tokio::time::sleep(pause), if moment < 12 => false,
            };
            node.kill();
            let mut node = story.restart().await;
            if !acknowledged {
                story.send(&mut node).await;
            }
            story.check(&mut node, &format!("moment {moment}")).await;
        });
    }
    while let Some(ended) = stories.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_39_killed_when_the_object_appears() {
    for _ in 0..6 {
        let story = Story::new(Database::Sqlite, Place::Folder).await;
        let mut node = story.config.start(&story.sim).await;
        story.send(&mut node).await;
        let object = story.dir.path().join("data/clips/gen.mp4");
        let began = std::time::Instant::now();
        while !object.exists() && began.elapsed() < crate::support::eventually::PATIENCE {
            std::hint::spin_loop();
        }
        node.kill();
        let mut node = story.restart().await;
        story.check(&mut node, "killed when the object appeared").await;
        // One download: the object that was there was recognised, or the row
        // had been written in time.
        let once = story.sim.bytes_served(&story.source);
        assert_eq!(once, LEN, "downloaded again");
    }
}

/// A kill in the middle of a download costs what came since the map was last
/// written (8 MiB and what lands while the disk syncs), and no more.
#[tokio::test(flavor = "multi_thread")]
async fn case_39_a_killed_download_goes_on_where_it_was() {
    const LEN: u64 = 80 << 20;
    for place in [Place::Folder, Place::Garage] {
        let mut story = Story::new(Database::Sqlite, place).await;
        story.media = Media::padded(LEN, 3);
        story.source = story.sim.add_faulty_file("b.mp4", story.media.clone(), Faults::always(Fault::rate(7_000_000)));
        let mut node = story.config.start(&story.sim).await;
        story.send(&mut node).await;
        until(|| story.sim.bytes_served(&story.source) >= LEN * 3 / 4, "the download").await;
        node.kill();
        let before = story.sim.bytes_served(&story.source);
        story.sim.set_faults(&story.source, Faults::none());
        let mut node = story.restart().await;
        story.check(&mut node, "killed at three quarters").await;
        let after = story.sim.bytes_served(&story.source) - before;
        assert!(after < LEN / 2, "{after} bytes were read after the kill, {before} before it");
    }
}

/// Completing an object makes Garage drop that key's older uploads by itself;
/// S3 does not. So here nothing is completed: the source is gone meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn case_35_an_upload_cut_by_a_kill_is_aborted_even_if_the_clip_is_lost() {
    let mut story = Story::new(Database::Sqlite, Place::Garage).await;
    story.config = story.config.clone().set("not_found_attempts", "1");
    story.sim.set_faults(&story.source, Faults::first(1, Fault::stall_at(LEN - 1)));
    let mut node = story.config.start(&story.sim).await;
    story.send(&mut node).await;
    let store = Store::open(story.store.clone(), UploadLimits { memory: 8 << 20, clip_size: 1 << 30 }).await.unwrap();
    eventually("an upload begins", || async { (!store.list_stale().await.unwrap().is_empty()).then_some(()) }).await;
    node.kill();
    assert_eq!(store.list_stale().await.unwrap().len(), 1, "what a dead node leaves");
    story.sim.set_faults(&story.source, Faults::always(Fault::status(404)));
    let node = story.restart().await;
    let is_lost = || async { (node.api("/api/v1/clips/gen.mp4").await?["state"] == "lost").then_some(()) };
    eventually("it is lost", is_lost).await;
    assert_eq!(store.list_stale().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_node_lets_go_and_loses_nothing() {
    let story = Story::new(Database::Sqlite, Place::Garage).await;
    story.sim.set_faults(&story.source, Faults::first(1, Fault::stall_at(LEN / 2)));
    let config = story.config.clone().set("shutdown_grace", "300ms").set("source_stall_timeout", "60s");
    let mut node = config.start(&story.sim).await;
    story.send(&mut node).await;
    until(|| story.sim.bytes_served(&story.source) >= LEN / 2, "the source stalls").await;
    assert_eq!(node.terminate().await, Some(0));
    let mut node = story.restart().await;
    story.check(&mut node, "stopped").await;
    let clip = node.api("/api/v1/clips/gen.mp4").await.unwrap();
    assert_eq!(clip["attempts"], 1, "a released attempt does not count");
}
