//! `kill -9` while a clip gets its name: before it, after it, and before its
//! object is seen.

use std::{path::Path, sync::Arc, time::Duration};

use clipkeep::store::{Store, StoreTarget, UploadLimits};
use clipkeep_core::config::{Config, Layers};
use fal_sim::{Media, Sim, SimOptions};
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::support::{
    chaos::{Behind, Chaos, Side},
    eventually::{PATIENCE, eventually},
    garage,
    node::{Node, NodeConfig},
    postgres,
};

/// Three parts, the last one short.
const LEN: u64 = (2 << 23) + 100_000;
/// How many stories run side by side.
const PARALLEL: usize = 4;

/// Whose messages are killed at.
#[derive(Clone, Copy, Debug)]
enum Watched {
    Database,
    Bucket,
}

struct Story {
    sim: Sim,
    config: NodeConfig,
    store: StoreTarget,
    chaos: Chaos,
    media: Media,
    source: String,
    dir: tempfile::TempDir,
}

impl Story {
    async fn new(watched: Watched) -> Self {
        let sim = Sim::start(SimOptions::default()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let media = Media::padded(LEN, 13);
        let source = sim.add_file("a.png", media.clone());
        let config = NodeConfig::new(&dir.path().join("data")).set("lease", "1s");
        let (config, store, chaos) = match watched {
            Watched::Database => {
                let url = postgres::database().await;
                let rest = url.strip_prefix("postgres://clipkeep@").unwrap();
                let (host, name) = rest.split_once('/').unwrap();
                let socket = Path::new(&host.replace("%2F", "/")).join(".s.PGSQL.5432");
                let chaos = Chaos::before(Behind::Postgres(socket)).await;
                let config = config.set("database", format!("postgres://clipkeep@127.0.0.1:{}/{name}", chaos.port));
                (config, StoreTarget::Folder(dir.path().join("data/clips")), chaos)
            }
            Watched::Bucket => {
                let place = garage::place();
                let chaos = Chaos::before(Behind::Http(place.endpoint.replace("http://", ""))).await;
                let mut config = config.set("store", place.url());
                config.aws = place.aws_through(&format!("http://127.0.0.1:{}", chaos.port));
                let direct = Layers::new().with_env(place.aws()).with_flags([("store", place.url())]);
                let settings = Config::from_layers(direct).unwrap().s3;
                let store = StoreTarget::S3 { bucket: garage::BUCKET.to_owned(), prefix: place.prefix, settings };
                (config, store, chaos)
            }
        };
        Self { sim, config, store, chaos, media, source, dir }
    }

    /// Sends the webhook, which is wrong about the clip; whether it was taken.
    async fn told(&self, node: &Node) -> bool {
        let payload = json!({"image": {"url": self.source, "content_type": "image/png"}});
        let delivery = self.sim.sign("gen", self.sim.webhook_body("gen", &payload));
        let mut request = node.client.post(format!("{}/hooks/fal", node.url));
        for (name, value) in delivery.headers {
            request = request.header(name, value);
        }
        request.body(delivery.body).send().await.is_ok_and(|answer| answer.status() == 200)
    }

    /// Waits for `stored`, starting the node again whenever it died.
    async fn until_stored(&self, node: &mut Node, mut is_told: bool) -> Value {
        let began = tokio::time::Instant::now();
        loop {
            if node.is_dead() {
                self.chaos.disarm();
                *node = self.config.start(&self.sim).await;
            }
            is_told = is_told || self.told(node).await;
            if is_told
                && let Some(clip) = node.api("/api/v1/clips/gen.png").await
                && clip["state"] == "stored"
            {
                return clip;
            }
            let log = || std::fs::read_to_string(&node.log).unwrap_or_default();
            assert!(began.elapsed() < PATIENCE, "not stored:\n{}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// One clip, one object, under its name; nothing is left under the other.
    async fn check(&self, node: &mut Node, what: &str) {
        let clip = self.until_stored(node, true).await;
        assert_eq!((&clip["key"], &clip["sha256"]), (&"gen.mp4".into(), &self.media.sha256().into()), "{what}");
        let limits = UploadLimits { memory: 8 << 20, clip_size: 1 << 30 };
        let store = Store::open(self.store.clone(), limits).await.unwrap();
        let listed = store.list().try_concat().await.unwrap();
        let names: Vec<_> = listed.iter().map(|object| object.name.as_str()).collect();
        assert_eq!(names, ["gen.mp4"], "{what}");
        let digest = store.hash(&"gen.mp4".parse().unwrap()).await.unwrap();
        assert_eq!((digest.size, digest.sha256), (LEN, self.media.sha256()), "{what}");
        assert_eq!(store.list_stale().await.unwrap(), [], "{what}");
        let partials = self.dir.path().join("data/partials");
        eventually(format!("{what}: the copy goes"), async || {
            let left = partials.read_dir().map_or(0, Iterator::count);
            (left == 0).then_some(())
        })
        .await;
        let told = |answer: Option<Value>, field: &str| answer.and_then(|answer| answer[field].as_array().cloned());
        let clips = told(node.api("/api/v1/clips").await, "clips").unwrap();
        assert_eq!(clips.len(), 1, "{what}: {clips:?}");
        let story = told(node.api("/api/v1/clips/gen.mp4/history").await, "history").unwrap();
        let count = |word: &str| story.iter().filter(|line| line["event"] == word).count();
        assert_eq!((count("received"), count("renamed"), count("stored")), (1, 1, 1), "{what}: {story:?}");
        let books = "SELECT count(*), CAST(sum(size) AS BIGINT), count(to_at), \
            (SELECT count(*) FROM clips WHERE was_key = 'gen.png') FROM storage_periods WHERE key = 'gen.mp4'";
        assert_eq!(self.config.row(books).await, [1, LEN.cast_signed(), 0, 1], "{what}");
    }

    /// Whether the row has its name, and what was read of the source by then.
    async fn named(&self) -> Option<u64> {
        let sql = "SELECT count(*), count(was_key), CAST(0 AS BIGINT), CAST(0 AS BIGINT) FROM clips";
        let [_, named, ..] = self.config.row(sql).await;
        (named > 0).then(|| self.sim.bytes_served(&self.source))
    }
}

/// Runs the story, killed at this message of the node's; answers how many there
/// were.
async fn run(watched: Watched, kill_at: Option<(u32, Side)>) -> u32 {
    let (story, what) = (Story::new(watched).await, format!("{watched:?} killed at {kill_at:?}"));
    let mut node = story.config.start(&story.sim).await;
    story.chaos.arm(node.pid(), kill_at);
    let mut is_told = false;
    let mut read = None;
    let began = tokio::time::Instant::now();
    while read.is_none() && began.elapsed() < PATIENCE {
        if node.is_dead() {
            story.chaos.disarm();
            read = Some(story.named().await);
            break;
        }
        is_told = is_told || story.told(&node).await;
        let clip = node.api("/api/v1/clips/gen.png").await;
        if clip.is_some_and(|clip| clip["state"] == "stored") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    story.until_stored(&mut node, is_told).await;
    let messages = story.chaos.disarm();
    story.check(&mut node, &what).await;
    if let Some(Some(read)) = read {
        assert_eq!(story.sim.bytes_served(&story.source), read, "{what}: its local copy was there");
    }
    messages
}

/// Once undisturbed to learn how many messages there are, then killed at each.
async fn at_its_messages(watched: Watched) {
    let messages = run(watched, None).await;
    assert!(messages > 3, "{messages}");
    let (slots, mut stories) = (Arc::new(Semaphore::new(PARALLEL)), JoinSet::new());
    for number in 1..=messages {
        let side = if number % 2 == 0 { Side::Before } else { Side::After };
        let slots = Arc::clone(&slots);
        stories.spawn(async move {
            let _slot = slots.acquire().await.unwrap();
            run(watched, Some((number, side))).await
        });
    }
    while let Some(ended) = stories.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_killed_at_the_databases_messages_while_it_gets_its_name() {
    at_its_messages(Watched::Database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_killed_at_the_buckets_messages_while_it_gets_its_name() {
    at_its_messages(Watched::Bucket).await;
}
