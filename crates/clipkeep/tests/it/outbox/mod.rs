//! Telling apps what happened: the pump, its endpoints, and the stream.

mod app;
mod crash;
mod dispatcher;
mod stream;

use std::{sync::Arc, time::Duration};

use clipkeep::{
    app::FinalUrls,
    catalog::{
        Catalog,
        open::{Database, Rules, open},
        outbox::ParkedDelivery,
    },
    clock::SystemClock,
    outbox::{self, OutboxParts, OutboxSettings},
    telemetry::Metrics,
};
use clipkeep_core::{
    config::{Config, Layers},
    event::Position,
    secret::Secret,
    standard_webhook::EventSecret,
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::support::{postgres, receiver::Receiver};

/// A day in the life of an event, in seconds.
fn quick() -> OutboxSettings {
    OutboxSettings {
        timeout: Duration::from_millis(500),
        retry_base: Duration::from_millis(40),
        retry_max: Duration::from_millis(400),
        keep: Duration::from_secs(60),
        pause_base: Duration::from_millis(20),
        pause_max: Duration::from_millis(200),
        poll: Duration::from_millis(10),
        ..OutboxSettings::new(Duration::from_secs(4), Duration::from_secs(1))
    }
}

/// A catalogue whose events are told.
struct Bed {
    database: Database,
    catalog: Arc<dyn Catalog>,
    latest: watch::Sender<Position>,
    _folder: tempfile::TempDir,
}

/// A node, as far as it tells.
struct Teller {
    stop: CancellationToken,
    task: JoinHandle<()>,
    metrics: Arc<Metrics>,
}

impl Bed {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::on(Database::Sqlite(folder.path().join("clipkeep.db")), folder).await
    }

    async fn postgres() -> Self {
        let url = Secret::new(postgres::database().await);
        Self::on(Database::Postgres(url), tempfile::tempdir().unwrap()).await
    }

    async fn on(database: Database, folder: tempfile::TempDir) -> Self {
        let catalog = open(&database, Rules::default()).await.unwrap();
        Self { database, catalog, latest: watch::Sender::new(Position { tx: 0, id: 0 }), _folder: folder }
    }

    /// A node that tells the endpoint at `url`, once it has the right to.
    async fn teller(&self, name: &str, url: &str, settings: OutboxSettings) -> Teller {
        let metrics = Arc::new(Metrics::new());
        let parts = OutboxParts {
            node: name.to_owned(),
            settings,
            endpoints: vec![url.parse().unwrap()],
            secret: EventSecret::text(&[7; 32]).parse().unwrap(),
            http: outbox::client().unwrap(),
            urls: FinalUrls::new(&Config::from_layers(Layers::new()).unwrap()),
            catalog: Arc::clone(&self.catalog),
            clock: Arc::new(SystemClock),
            metrics: Arc::clone(&metrics),
        };
        let (stop, latest) = (CancellationToken::new(), self.latest.subscribe());
        let stopping = stop.clone();
        let task = tokio::spawn(async move { outbox::run(&Arc::new(parts), latest, &stopping).await });
        Teller { stop, task, metrics }
    }

    /// One that holds the right already.
    async fn first_teller(&self, url: &str, settings: OutboxSettings) -> Teller {
        let teller = self.teller("first", url, settings).await;
        let began = tokio::time::Instant::now();
        while !self.is_told().await {
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "nobody tells the endpoint");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        teller
    }

    async fn is_told(&self) -> bool {
        const HELD: &str = "SELECT count(*) FROM endpoints WHERE lease_until > 0";
        match &self.database {
            Database::Sqlite(path) => {
                let db = rusqlite::Connection::open(path).unwrap();
                db.query_row(HELD, (), |row| row.get::<_, i64>(0)).unwrap() > 0
            }
            Database::Postgres(url) => {
                let client = postgres::connect(url.expose()).await;
                client.query_one(HELD, &[]).await.unwrap().get::<_, i64>(0) > 0
            }
        }
    }

    /// Tells the world that clips were lost, in this order.
    async fn happen(&self, clips: &[String]) {
        let row = |id: &String| format!("(1800000000000, 'clip.lost', 'fal', '{id}', '{id}.mp4', 'it is gone')");
        let rows: Vec<_> = clips.iter().map(row).collect();
        let sql =
            format!("INSERT INTO events (at, type, provider, request_id, key, detail) VALUES {}", rows.join(", "));
        match &self.database {
            Database::Sqlite(path) => rusqlite::Connection::open(path).unwrap().execute_batch(&sql).unwrap(),
            Database::Postgres(url) => postgres::connect(url.expose()).await.batch_execute(&sql).await.unwrap(),
        }
        self.hear().await;
    }

    /// What a node's ear does: wakes who waits. Again and again, since on
    /// PostgreSQL an event shows when no older transaction is open any more.
    async fn hear(&self) {
        let latest = self.latest.clone();
        tokio::spawn(async move {
            for _ in 0..200 {
                latest.send_modify(|_| {});
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        });
    }

    async fn parked(&self) -> Vec<ParkedDelivery> {
        self.catalog.parked_deliveries(100).await.unwrap()
    }
}

impl Teller {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// As `kill -9` would.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// `clips` times `each` events, so that those of one clip are far apart.
fn clips(clips: usize, each: usize) -> Vec<String> {
    (0..each).flat_map(|_| (0..clips).map(|clip| format!("c{clip}"))).collect()
}

/// Each event was taken, and those of one clip in their order. What was taken
/// twice counts where it was taken first.
fn assert_all_in_order(receiver: &Receiver, count: usize) {
    let mut seen: Vec<(String, i64)> = Vec::new();
    for got in receiver.taken() {
        let id: i64 = got.header("webhook-id").rsplit('_').next().unwrap().parse().unwrap();
        if !seen.contains(&(got.subject(), id)) {
            let last = seen.iter().rfind(|(subject, _)| *subject == got.subject());
            assert!(last.is_none_or(|(_, last)| *last < id), "{} out of order", got.subject());
            seen.push((got.subject(), id));
        }
    }
    assert_eq!(seen.len(), count);
}
