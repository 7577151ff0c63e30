//! The catalogue's contract: one suite, on SQLite and on PostgreSQL.

mod adoption;
mod budgets;
mod costs;
mod duplicates;
mod events;
mod expiry;
mod face;
mod fairness;
mod hook_trust;
mod hooks;
mod inputs;
mod key_owners;
mod lineage;
mod lists;
mod lookup;
mod maintenance;
mod outbox;
mod plans;
mod polls;
mod positions;
mod queue;
mod renamed;
mod requeue;
mod revocations;
mod risk;
mod schema;
mod search;
mod seeds;
mod sharing;
mod storage_periods;
mod submissions;
mod tenants;
mod time_buckets;
mod tokens;
mod unreads;
mod usage;
mod vanished;

use std::sync::Arc;

use clipkeep::catalog::{
    Attempt, Catalog, Registration,
    open::{Database, Prompts, Rules, open},
};
use clipkeep_core::{
    generation::{Clip, Facts, Hearsay, HookRecord, Kind, NewClip, Origin},
    id::{ClipKey, Provider, RequestId},
    secret::{Secret, SourceUrl},
    state::GenerationStatus,
    time::Timestamp,
};

use crate::support::postgres;

/// Runs each test of a list on both databases.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::catalog::Bed::sqlite()).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::catalog::Bed::postgres().await).await;
            })+
        }
    };
}
use on_both;

/// An empty database.
struct Bed {
    database: Database,
    /// Removed at the end.
    _folder: Option<tempfile::TempDir>,
}

impl Bed {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { database: Database::Sqlite(folder.path().join("clipkeep.db")), _folder: Some(folder) }
    }

    async fn postgres() -> Self {
        Self { database: Database::Postgres(Secret::new(postgres::database().await)), _folder: None }
    }

    async fn open(&self) -> Arc<dyn Catalog> {
        self.open_with(Rules::default()).await
    }

    async fn open_with(&self, rules: Rules) -> Arc<dyn Catalog> {
        open(&self.database, rules).await.unwrap()
    }

    async fn hash_only(&self) -> Arc<dyn Catalog> {
        self.open_with(Rules { prompts: Prompts::HashOnly, ..Rules::default() }).await
    }

    /// Runs SQL beside the catalogue.
    async fn execute(&self, sql: &str) {
        match &self.database {
            Database::Sqlite(path) => rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap(),
            Database::Postgres(url) => postgres::connect(url.expose()).await.batch_execute(sql).await.unwrap(),
        }
    }
}

const HOUR: i64 = 3600;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

/// An attempt that ended at this time and read nothing.
fn ended(at: Timestamp) -> Attempt {
    Attempt { at, bytes: 0 }
}

fn id(text: &str) -> RequestId {
    text.parse().unwrap()
}

fn key(text: &str) -> ClipKey {
    text.parse().unwrap()
}

/// A completed generation's webhook with one clip, received at `at(0)`.
pub(crate) fn hook(request_id: &str) -> HookRecord {
    HookRecord {
        provider: Provider::fal(),
        request_id: id(request_id),
        status: GenerationStatus::Completed,
        error: None,
        facts: Facts::default(),
        hearsay: Hearsay::default(),
        clips: vec![new_clip(request_id, 0)],
        unread: None,
        received_at: at(0),
        created_at: None,
        origin: Origin::Webhook,
    }
}

fn new_clip(request_id: &str, index: u32) -> NewClip {
    NewClip {
        key: ClipKey::new(&id(request_id), index, "mp4"),
        index,
        slot: format!("/videos/{index}"),
        source_url: SourceUrl::new(format!("https://source.example/{request_id}/{index}.mp4")),
        kind: Kind::Video,
        content_type: "video/mp4".to_owned(),
        source_expires_at: None,
    }
}

fn registration(request_id: &str, facts: Facts) -> Registration {
    Registration { provider: Provider::fal(), request_id: id(request_id), facts, at: at(0) }
}

/// The clip of [`hook`], as the catalogue has it now.
async fn clip(catalog: &dyn Catalog, request_id: &str) -> Clip {
    catalog.clip(&ClipKey::new(&id(request_id), 0, "mp4")).await.unwrap().unwrap()
}

/// The words of a clip's history.
async fn story(catalog: &dyn Catalog, request_id: &str) -> Vec<String> {
    let history = catalog.history(&ClipKey::new(&id(request_id), 0, "mp4")).await.unwrap();
    history.into_iter().map(|entry| entry.event).collect()
}
