//! The nodes, what is around them, and what is done to both.

use std::{
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use clipkeep::store::{Store, StoreTarget, UploadLimits};
use clipkeep_core::config::{Config, Layers};
use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use futures_util::TryStreamExt;
use http::Method;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{
    disk::Disk,
    oracle::{Dice, Oracle, Told},
};
use crate::support::{
    bucket_proxy::{BucketProxy, Trouble},
    clock::Clock,
    eventually::eventually,
    garage,
    node::{Node, NodeConfig, TOKEN},
    postgres,
};

/// How far the clock may be off, in seconds.
const JUMP: i64 = 120;
const BROKEN: &str = "<Error><Code>InternalError</Code></Error>";

#[derive(Clone, Copy)]
pub(super) enum Database {
    Sqlite,
    Postgres,
}

#[derive(Clone, Copy)]
pub(super) enum Place {
    Folder,
    Bucket,
    /// A folder on a disk of its own.
    Disk,
}

pub(super) struct World {
    sim: Sim,
    configs: Vec<NodeConfig>,
    nodes: Vec<Node>,
    bucket: Option<BucketProxy>,
    clock: Clock,
    store: StoreTarget,
    oracle: Oracle,
    dice: Dice,
    seed: u64,
    // After the nodes that stand on it.
    disk: Option<Disk>,
    _dir: TempDir,
}

impl World {
    pub(super) async fn new(database: Database, place: Place, seed: u64) -> Self {
        let sim = Sim::start(SimOptions::default()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let disk = || Disk::new(dir.path().join("image"), dir.path().join("disk"));
        let disk = matches!(place, Place::Disk).then(disk);
        let data = dir.path().join(if disk.is_some() { "disk/one" } else { "one" });
        let mut config = NodeConfig::new(&data).set("lease", "1s").set("public", "true");
        config = config
            .set("sweep_interval", "500ms")
            .set("drift_interval", "2s")
            .set("lost_after", "1h")
            .set("not_found_attempts", "100");
        if matches!(database, Database::Postgres) {
            config = config.set("database", postgres::database().await);
        }
        let clock = Clock::new(dir.path());
        config.env = clock.env();
        let (mut bucket, mut store) = (None, StoreTarget::Folder(data.join("clips")));
        if matches!(place, Place::Bucket) {
            let place = garage::place();
            let proxy = BucketProxy::start(&place.endpoint).await;
            config = config.set("store", place.url());
            config.aws = place.aws_through(&proxy.endpoint);
            bucket = Some(proxy);
            let direct = Layers::new().with_env(place.aws()).with_flags([("store", place.url())]);
            let settings = Config::from_layers(direct).unwrap().s3;
            store = StoreTarget::S3 { bucket: garage::BUCKET.to_owned(), prefix: place.prefix, settings };
        }
        let mut configs = vec![config.clone()];
        if matches!((database, place), (Database::Postgres, Place::Bucket)) {
            configs.push(NodeConfig { data: dir.path().join("two"), ..config });
        }
        let mut nodes = Vec::new();
        for config in &configs {
            nodes.push(config.start(&sim).await);
        }
        let (oracle, dice) = (Oracle::default(), Dice::new(seed));
        Self { sim, configs, nodes, bucket, clock, store, oracle, dice, seed, disk, _dir: dir }
    }

    /// Does one thing, and lets a moment pass.
    pub(super) async fn step(&mut self) {
        match self.dice.roll(22) {
            0..=5 => self.tell().await,
            6..=8 => self.tell_again().await,
            9..=12 => self.view().await,
            13 | 14 => self.kill(false).await,
            15 => self.kill(true).await,
            16 => self.pause().await,
            17 => self.shift_the_clock(),
            18 | 19 => self.cut_the_power().await,
            20 => self.fill_the_disk().await,
            _ => self.trouble_the_bucket(),
        }
        sleep(Duration::from_millis(self.dice.roll(60))).await;
    }

    /// A new generation, from a source that may fail at first.
    async fn tell(&mut self) {
        let number = self.oracle.acknowledged.len() as u64;
        let len = [50_000, 400_000, 3_000_000, 12_000_000, 20_000_000][self.dice.roll(5) as usize] + number;
        let media = Media::padded(len, self.seed.wrapping_mul(1000) + number);
        let faults = self.faults(len);
        self.oracle.source_faults += u32::from(!faults.first.is_empty());
        let source = self.sim.add_faulty_file(&format!("{number}.mp4"), media.clone(), faults);
        self.oracle.acknowledged.insert(format!("g{number}"), Told { media, source, acknowledged: false });
        self.send(&format!("g{number}")).await;
    }

    fn faults(&mut self, len: u64) -> Faults {
        let at = self.dice.roll(len);
        let fault = match self.dice.roll(8) {
            0 => Fault::cut_at(at),
            1 => Fault { stall_at: Some(at), stall_ms: Some(300), ..Fault::default() },
            2 => Fault::status(503),
            3 => Fault::status(404),
            4 => Fault { delay_ms: 200, ..Fault::default() },
            5 => Fault::rate(4_000_000),
            6 => Fault { no_ranges: true, ..Fault::cut_at(at) },
            _ => return Faults::none(),
        };
        Faults::first(1 + self.dice.roll(3) as usize, fault)
    }

    /// As a provider does: again, until it is answered 200; and at times once more.
    async fn tell_again(&mut self) {
        let ids: Vec<_> = self.oracle.acknowledged.keys().cloned().collect();
        if !ids.is_empty() {
            let one = self.dice.roll(ids.len() as u64) as usize;
            self.send(&ids[one]).await;
        }
    }

    async fn send(&mut self, id: &str) {
        let one = self.dice.roll(self.nodes.len() as u64) as usize;
        let told = &self.oracle.acknowledged[id];
        let sent = self.nodes[one].hook(&self.sim, id, &told.source);
        // Who is paused does not answer: the provider hangs up.
        let status = tokio::time::timeout(Duration::from_secs(5), sent).await.ok().flatten();
        if status == Some(200) {
            self.oracle.acknowledged.get_mut(id).unwrap().acknowledged = true;
        }
    }

    /// Whatever comes of a clip, it is the source's bytes.
    async fn view(&mut self) {
        let ids: Vec<_> = self.oracle.acknowledged().map(|(id, _)| id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        let id = &ids[self.dice.roll(ids.len() as u64) as usize];
        let media = &self.oracle.acknowledged[id].media;
        let from = self.dice.roll(media.len());
        let to = media.len().min(from + 100_000);
        let node = &self.nodes[self.dice.roll(self.nodes.len() as u64) as usize];
        let asked = node.client.get(format!("{}/v/{id}.mp4", node.url));
        let asked = asked.header("range", format!("bytes={from}-{}", to - 1)).timeout(Duration::from_secs(3));
        let Ok(answer) = asked.send().await else { return };
        let status = answer.status().as_u16();
        if status == 410 {
            self.bring_back(id).await;
            return;
        }
        assert!(status == 206 || status == 503, "{id}: {status}; seed {}", self.seed);
        if let (206, Ok(bytes)) = (status, answer.bytes().await) {
            assert!(bytes == whole(media, from, to), "{id}: other bytes from {from} on; seed {}", self.seed);
            self.oracle.views += 1;
        }
    }

    async fn kill(&mut self, rots: bool) {
        let one = self.dice.roll(self.nodes.len() as u64) as usize;
        self.nodes[one].kill();
        self.oracle.kills += 1;
        if rots {
            self.rot(one);
        }
        self.nodes[one] = self.configs[one].start(&self.sim).await;
    }

    /// A byte of each partial or cached copy.
    fn rot(&mut self, one: usize) {
        let data: PathBuf = self.configs[one].data.clone();
        for folder in ["partials", "cache"] {
            let entries = std::fs::read_dir(data.join(folder)).into_iter().flatten().filter_map(Result::ok);
            for path in entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "mp4")) {
                // One that the folder keeps as its object is no copy any more.
                if std::fs::metadata(&path).is_ok_and(|meta| meta.nlink() > 1) {
                    continue;
                }
                let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
                let len = file.metadata().unwrap().len().max(1);
                let (at, mut byte) = (self.dice.roll(len), [0]);
                let _ = file.read_at(&mut byte, at);
                file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
                self.oracle.rotten += 1;
            }
        }
    }

    /// Stops a node for up to two leases, as a virtual machine that is moved.
    async fn pause(&mut self) {
        let pid = self.nodes[self.dice.roll(self.nodes.len() as u64) as usize].pid().to_string();
        let signal = |name: &str| assert!(Command::new("kill").args([name, pid.as_str()]).status().unwrap().success());
        signal("-STOP");
        sleep(Duration::from_millis(self.dice.roll(2000))).await;
        signal("-CONT");
        self.oracle.pauses += 1;
    }

    /// By no more than a provider's signatures may be off.
    fn shift_the_clock(&mut self) {
        self.clock.jump(self.dice.roll(2 * JUMP.unsigned_abs()) as i64 - JUMP);
        self.oracle.jumps += 1;
    }

    async fn cut_the_power(&mut self) {
        let Some(disk) = &self.disk else { return self.trouble_the_bucket() };
        disk.power_off();
        self.nodes[0].kill();
        disk.power_on().await;
        self.nodes[0] = self.configs[0].start(&self.sim).await;
        self.oracle.power_cuts += 1;
    }

    /// For a moment, in which more is told and looked at.
    async fn fill_the_disk(&mut self) {
        let Some(disk) = &self.disk else { return };
        disk.fill();
        for _ in 0..self.dice.roll(6) {
            self.tell().await;
            self.tell_again().await;
            self.view().await;
        }
        self.disk.as_ref().inspect(|disk| disk.free());
        self.oracle.full_disks += 1;
    }

    fn trouble_the_bucket(&mut self) {
        let Some(bucket) = &self.bucket else { return };
        let troubles = [
            (Method::PUT, "", Trouble::Answer(500, BROKEN)),
            (Method::PUT, "", Trouble::Lost(500, BROKEN)),
            (Method::PUT, "partNumber=", Trouble::Answer(503, BROKEN)),
            (Method::POST, "uploadId=", Trouble::Lost(500, BROKEN)),
            (Method::POST, "uploads", Trouble::Answer(500, BROKEN)),
            (Method::GET, "", Trouble::Short),
            (Method::GET, "", Trouble::Answer(503, BROKEN)),
            (Method::HEAD, "", Trouble::Answer(503, "")),
        ];
        let (method, query, trouble) = troubles[self.dice.roll(troubles.len() as u64) as usize].clone();
        bucket.trouble(method, query, trouble);
        self.oracle.bucket_faults += 1;
    }

    /// All is well again, and the provider gets its last webhooks through.
    pub(super) async fn calm(&mut self) {
        // What waits for its time waits no longer.
        self.clock.jump(JUMP);
        for (id, told) in &self.oracle.acknowledged {
            self.sim.set_faults(&told.source, Faults::none());
            while self.nodes[0].hook(&self.sim, id, &told.source).await != Some(200) {
                sleep(Duration::from_millis(50)).await;
            }
        }
        self.oracle.acknowledged.values_mut().for_each(|told| told.acknowledged = true);
    }

    /// Each clip stored once, with its source's bytes; nothing else anywhere.
    pub(super) async fn check(&self) -> String {
        let store =
            Store::open(self.store.clone(), UploadLimits { memory: 8 << 20, clip_size: 1 << 30 }).await.unwrap();
        for (id, told) in self.oracle.acknowledged() {
            self.until_stored(id).await;
            let digest = store.hash(&format!("{id}.mp4").parse().unwrap()).await.unwrap();
            let expected = (told.media.len(), told.media.sha256());
            assert_eq!((digest.size, digest.sha256), expected, "{id}; seed {}", self.seed);
            let story = self.nodes[0].api(&format!("/api/v1/clips/{id}.mp4/history")).await.unwrap();
            let lines = story["history"].as_array().unwrap();
            let count = lines.iter().filter(|line| line["event"] == "stored").count();
            assert_eq!(count, 1, "{id} was stored {count} times; seed {}: {lines:?}", self.seed);
        }
        let objects = store.list().try_concat().await.unwrap();
        assert_eq!(objects.len(), self.oracle.acknowledged.len(), "seed {}", self.seed);
        // What a node began before it stood still, and nobody ended, is no object; drift
        // ends it once it is a day old.
        self.clock.jump(2 * 24 * 3600);
        let is_clean = async || store.list_stale().await.unwrap().is_empty().then_some(());
        eventually(format!("nothing is left half-done; seed {}", self.seed), is_clean).await;
        self.oracle.to_string()
    }

    /// Three kills in a row under one clip look as if it were at fault: then, and
    /// for no other reason, it ends, and comes back when somebody asks for it.
    async fn bring_back(&self, id: &str) {
        let node = &self.nodes[0];
        let Some(clip) = node.api(&format!("/api/v1/clips/{id}.mp4")).await else { return };
        let why = clip["last_error"].as_str().unwrap_or_default();
        let is_that = clip["state"] != "rejected" || why.starts_with("its attempts end without an answer");
        assert!(is_that, "{id}; seed {}: {clip}", self.seed);
        let fill = format!("{}/api/v1/clips/{id}.mp4/fill", node.url);
        let _ = node.client.post(fill).bearer_auth(TOKEN).send().await;
    }

    async fn until_stored(&self, id: &str) {
        let began = Instant::now();
        loop {
            let clip = self.nodes[0].api(&format!("/api/v1/clips/{id}.mp4")).await.unwrap_or_default();
            if clip["state"] == "rejected" {
                self.bring_back(id).await;
            }
            if clip["state"] == "stored" {
                assert_eq!(clip["sha256"], self.oracle.acknowledged[id].media.sha256(), "{id}; seed {}", self.seed);
                return;
            }
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{id}; seed {}: {clip}", self.seed);
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn whole(media: &Media, from: u64, to: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while from + (bytes.len() as u64) < to {
        bytes.extend_from_slice(&media.chunk(from + bytes.len() as u64..to));
    }
    bytes
}
