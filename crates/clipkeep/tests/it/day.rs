//! A day in the life, an hour of it in a few seconds: two nodes on one
//! PostgreSQL and one Garage, lost and doubled webhooks, sources that die after
//! a day, kills, a bucket that is out of order for an hour. At the end each clip
//! whose source lived long enough to be read once is stored, each other one is
//! lost with a reason and an event, and none is there twice.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use clipkeep::{
    catalog::{
        Catalog, ClipFilter,
        open::{Database, Rules, open},
    },
    store::{Store, StoreTarget, UploadLimits},
};
use clipkeep_core::{
    config::{Config, Layers},
    event::{EventType, Position},
    generation::Clip,
    secret::Secret,
    state::ClipState,
};
use fal_sim::{Fault, Faults, Sim, SimOptions};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::support::{
    bucket_proxy::BucketProxy,
    eventually::PATIENCE,
    garage,
    node::{Node, NodeConfig, TOKEN},
    postgres,
};

/// `DAY_GENERATIONS` makes it another number: the CI's machine is small.
const GENERATIONS: usize = 1000;
/// As many seconds as an hour of the day takes.
const HOUR: f64 = 2.0;

fn hours(hours: f64) -> Duration {
    Duration::from_secs_f64(hours * HOUR)
}

fn setting(hours_of: f64) -> String {
    format!("{}ms", hours(hours_of).as_millis())
}

/// What becomes of a generation's webhook and of its source.
#[derive(Clone, Copy)]
struct DeliveryOutcome(usize);

impl DeliveryOutcome {
    const fn webhook_is_lost(self) -> bool {
        self.0.is_multiple_of(3)
    }

    const fn webhook_comes_twice(self) -> bool {
        self.0 % 10 == 1
    }

    /// It can never be read, not even once.
    const fn is_gone_at_once(self) -> bool {
        self.0 % 100 == 7
    }

    const fn policy(self) -> &'static str {
        if self.0 % 4 == 2 { "deferred" } else { "eager" }
    }
}

struct Day {
    sim: Sim,
    bucket: BucketProxy,
    configs: Vec<NodeConfig>,
    nodes: Mutex<Vec<Option<Node>>>,
    urls: Mutex<Vec<Option<String>>>,
    client: Client,
    began: Instant,
    /// Each generation's fate, by request id.
    fates: Mutex<HashMap<String, DeliveryOutcome>>,
    _dir: tempfile::TempDir,
}

impl Day {
    /// Says it to some node until one has taken it, as fal and apps do.
    async fn say(&self, number: usize, request: impl Fn(&str) -> reqwest::RequestBuilder) {
        for attempt in 0.. {
            let url = {
                let urls = self.urls.lock();
                urls[(number + attempt) % urls.len()].clone()
            };
            if let Some(url) = url
                && let Ok(answer) = request(&url).timeout(Duration::from_secs(15)).send().await
                && answer.status().is_success()
            {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// One generation, from its submit to the death of its source.
    async fn generation(self: Arc<Self>, number: usize, of_all: usize) {
        let fate = DeliveryOutcome(number);
        sleep_until(self.began + hours(24.0).mul_f64(number as f64 / of_all as f64)).await;
        let submit = format!("{}/fal-ai/veo3", self.sim.queue_url());
        let prompt = format!("scene {}", number / 2);
        let queued = self.client.post(submit).json(&json!({"prompt": prompt})).send().await.unwrap();
        let queued: Value = queued.json().await.unwrap();
        let id = queued["request_id"].as_str().unwrap().to_owned();
        self.fates.lock().insert(id.clone(), fate);
        let known = json!({"request_id": id, "model": "fal-ai/veo3", "prompt": prompt, "policy": fate.policy()});
        self.say(number, |url| self.client.post(format!("{url}/api/v1/generations")).bearer_auth(TOKEN).json(&known))
            .await;
        let payload = self.result(&queued).await;
        let source = payload["video"]["url"].as_str().unwrap().to_owned();
        if fate.is_gone_at_once() {
            self.sim.set_faults(&source, Faults::always(Fault::status(404)));
        }
        if !fate.webhook_is_lost() {
            let body = self.sim.webhook_body(&id, &payload);
            let send = |number| {
                self.say(number, |url| {
                    let delivery = self.sim.sign(&id, body.clone());
                    let post = self.client.post(format!("{url}/hooks/fal"));
                    delivery
                        .headers
                        .iter()
                        .fold(post, |post, (name, value)| post.header(*name, value))
                        .body(body.clone())
                })
            };
            if fate.webhook_comes_twice() {
                tokio::join!(send(number), send(number + 1));
            } else {
                send(number).await;
            }
        }
        sleep(hours(24.0)).await;
        // On a slow machine a day is longer: a source lives until it was read once.
        let (len, began) = (self.sim.media(&source).unwrap().len(), Instant::now());
        while !fate.is_gone_at_once() && self.sim.bytes_served(&source) < len && began.elapsed() < 4 * PATIENCE {
            sleep(Duration::from_millis(50)).await;
        }
        self.sim.set_faults(&source, Faults::always(Fault::status(410)));
    }

    async fn result(&self, queued: &Value) -> Value {
        loop {
            let answer = self.client.get(queued["response_url"].as_str().unwrap()).send().await.unwrap();
            if answer.status() == 200 {
                return answer.json().await.unwrap();
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn start(&self, number: usize) {
        let node = self.configs[number].start(&self.sim).await;
        self.urls.lock()[number] = Some(node.url.clone());
        self.nodes.lock()[number] = Some(node);
    }

    /// Kills one node after the other, every few hours, and starts it again an
    /// hour later.
    async fn kills(&self) {
        for (number, at) in [5.0, 10.5, 15.2, 20.7].into_iter().enumerate() {
            sleep_until(self.began + hours(at)).await;
            let which = number % self.configs.len();
            self.urls.lock()[which] = None;
            drop(self.nodes.lock()[which].take());
            sleep(hours(1.0)).await;
            self.start(which).await;
        }
    }

    /// What the nodes' logs say of a clip.
    fn log_of(&self, clip: &Clip) -> String {
        let logs = self.configs.iter().map(|config| std::fs::read_to_string(config.data.join("node.log")).unwrap());
        let lines = logs.enumerate().flat_map(|(node, log)| {
            let lines = log.lines().filter(|line| line.contains(clip.request_id.as_str()));
            lines.map(|line| format!("node {node}: {line}")).collect::<Vec<_>>()
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    async fn outage(&self) {
        sleep_until(self.began + hours(10.0)).await;
        self.bucket.set_away(true);
        sleep(hours(1.0)).await;
        self.bucket.set_away(false);
    }
}

fn config(dir: &std::path::Path, number: usize, database: &str, place: &garage::Place, endpoint: &str) -> NodeConfig {
    let mut config = NodeConfig::new(&dir.join(format!("node{number}")))
        .set("database", database)
        .set("store", place.url())
        .set("deferred_after", setting(12.0))
        .set("source_expires_after", setting(24.0))
        .set("at_risk_before", setting(6.0))
        .set("poll_after", setting(1.0))
        .set("poll_timeout", setting(480.0))
        .set("sweep_interval", "300ms")
        .set("lease", "2s")
        .set("not_found_attempts", "4")
        .set("retry_max", "1s");
    config.aws = place.aws_through(endpoint);
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_in_the_life_loses_nothing() {
    let wanted = std::env::var_os("DAY_GENERATIONS").and_then(|text| text.to_str()?.parse().ok());
    let generations = wanted.unwrap_or(GENERATIONS);
    let database = postgres::database().await;
    let place = garage::place();
    let bucket = BucketProxy::start(&place.endpoint).await;
    let dir = tempfile::tempdir().unwrap();
    let options = SimOptions { run_time: hours(0.1), queue_time: Duration::ZERO, ..SimOptions::default() };
    let configs = (0..2).map(|number| config(dir.path(), number, &database, &place, &bucket.endpoint)).collect();
    let day = Arc::new(Day {
        sim: Sim::start(options).await.unwrap(),
        bucket,
        configs,
        nodes: Mutex::new(vec![None, None]),
        urls: Mutex::new(vec![None, None]),
        client: Client::builder().no_proxy().build().unwrap(),
        began: Instant::now() + Duration::from_secs(3),
        fates: Mutex::default(),
        _dir: dir,
    });
    tokio::join!(day.start(0), day.start(1));
    let mut lives: JoinSet<()> =
        (0..generations).map(|number| Arc::clone(&day).generation(number, generations)).collect();
    tokio::join!(day.kills(), day.outage());
    while let Some(life) = lives.join_next().await {
        life.unwrap();
    }
    let catalog = open(&Database::Postgres(Secret::new(database)), Rules::default()).await.unwrap();
    until_all_is_over(&*catalog, &day).await;
    let settings = Layers::new().with_env(place.aws()).with_flags([("store", place.url())]);
    let settings = Config::from_layers(settings).unwrap().s3;
    let target = StoreTarget::S3 { bucket: garage::BUCKET.to_owned(), prefix: place.prefix.clone(), settings };
    let store = Store::open(target, UploadLimits { memory: 8 << 20, clip_size: 1 << 30 }).await.unwrap();
    check(&day, &*catalog, &store).await;
}

async fn until_all_is_over(catalog: &dyn Catalog, day: &Day) {
    let settled = async {
        loop {
            let counts: BTreeMap<_, _> = catalog.count_by_state().await.unwrap().into_iter().collect();
            let open =
                [ClipState::Waiting, ClipState::Filling].iter().filter_map(|state| counts.get(state)).sum::<u64>();
            let known: u64 = counts.values().sum();
            if open == 0 && known == day.fates.lock().len() as u64 {
                return;
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, settled).await.expect("all clips are over a while after the day");
}

async fn check(day: &Day, catalog: &dyn Catalog, store: &Store) {
    let clips = all_clips(catalog).await;
    let fates = day.fates.lock().clone();
    assert_eq!(clips.len(), fates.len());
    // Events are told once no older transaction of the server is open: others' tests have some.
    let told = async {
        loop {
            let told = events(catalog).await;
            if clips.iter().all(|clip| told.contains_key(clip.key.as_str())) {
                return told;
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    let told = timeout(PATIENCE, told).await.expect("all clips' ends are told");
    let one = async |clip: &Clip| {
        let key = clip.key.as_str();
        let fate = fates[clip.request_id.as_str()];
        if fate.is_gone_at_once() {
            assert_eq!(clip.state, ClipState::Lost, "{key}");
            assert!(clip.last_error.is_some(), "{key}");
            // On a slow machine it was at risk before anybody looked.
            let ends: Vec<_> = told[key].iter().filter(|kind| **kind != EventType::ClipAtRisk).collect();
            assert_eq!(ends, [&EventType::ClipLost], "{key}");
            assert_eq!(store.head(&clip.key).await.unwrap(), None, "{key}");
            return;
        }
        if clip.state != ClipState::Stored {
            panic!("{key} is {}: {:#?}\n{}", clip.state, catalog.history(&clip.key).await.unwrap(), day.log_of(clip));
        }
        let (sealed, source) = (clip.sealed.as_ref().unwrap(), day.sim.media(clip.source_url.expose()).unwrap());
        let object = store.hash(clip.object()).await.unwrap();
        assert_eq!((sealed.size, &sealed.sha256), (source.len(), &source.sha256()), "{key}");
        assert_eq!((object.size, object.sha256), (source.len(), source.sha256()), "{key}");
        let stored = told[key].iter().filter(|kind| **kind == EventType::ClipStored).count();
        assert_eq!(stored, 1, "{key}: {:?}", told[key]);
        assert!(!told[key].contains(&EventType::ClipLost), "{key}");
        let history = catalog.history(&clip.key).await.unwrap();
        assert_eq!(history.iter().filter(|line| line.event == "stored").count(), 1, "{key}: {history:?}");
    };
    stream::iter(&clips).for_each_concurrent(8, one).await;
    assert_eq!(store.list_stale().await.unwrap(), []);
    let served: u64 = day.sim.requests().iter().map(fal_sim::Recorded::sent).sum();
    let size: u64 = clips.iter().filter_map(|clip| Some(clip.sealed.as_ref()?.size)).sum();
    // A kill may have cost what was on its way.
    assert!(served as f64 <= size as f64 * 1.2, "{served} bytes were read of {size}");
    the_sweeps_log_adds_up(day, &fates);
}

async fn all_clips(catalog: &dyn Catalog) -> Vec<Clip> {
    let (mut clips, mut after) = (Vec::new(), None);
    loop {
        let page = catalog.clips(&ClipFilter::default(), after.as_ref(), 1000).await.unwrap();
        clips.extend(page.clips);
        after = page.next;
        if after.is_none() {
            return clips;
        }
    }
}

/// What was told of each clip, in order.
async fn events(catalog: &dyn Catalog) -> HashMap<String, Vec<EventType>> {
    let (mut told, mut at) = (HashMap::<String, Vec<EventType>>::new(), Position { tx: 0, id: 0 });
    loop {
        let page = catalog.events(at, 1000).await.unwrap();
        let Some((last, _)) = page.last() else { return told };
        at = *last;
        for (_, event) in page {
            if let Some(key) = event.key {
                told.entry(key.as_str().to_owned()).or_default().push(event.kind);
            }
        }
    }
}

/// Each line of the sweep's log sums up, and together they name every webhook
/// that was lost, but for those of rounds that a kill cut short.
fn the_sweeps_log_adds_up(day: &Day, fates: &HashMap<String, DeliveryOutcome>) {
    let (mut completed, mut lines) = (0, 0);
    for config in &day.configs {
        let log = std::fs::read_to_string(config.data.join("node.log")).unwrap();
        for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let fields = line.get("fields").unwrap_or(&line);
            if fields["message"] != "swept" {
                continue;
            }
            let number = |name: &str| fields[name].as_u64().unwrap_or_default();
            let ends: u64 = ["completed", "failed", "given_up", "running", "later"].map(number).iter().sum();
            assert_eq!(number("asked"), ends, "{line}");
            completed += number("completed");
            lines += 1;
        }
    }
    let lost = fates.values().filter(|fate| fate.webhook_is_lost()).count() as u64;
    assert!(lines > 0 && completed > 0);
    // Four kills, each in the middle of at most one round.
    assert!(completed + 4 * 60 >= lost, "{completed} of {lost} in {lines} lines");
}
