//! How a node is, as operators and load balancers ask for it: told from looks
//! that all who ask share.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clipkeep_core::{
    config::{Config, StoreUrl},
    state::ClipState,
};
use tokio::{task::spawn_blocking, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::{Catalog, outbox::Backlog},
    custody::Custody,
    intake::Intake,
    shared_probe::SharedProbe,
};

/// How often rows are counted at most.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked whether the node can do its work.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the catalogue may take before it does not answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// A disk with less room than this is full.
const ROOM: u64 = 8 * 1024 * 1024;

/// Rows by state, and what endpoints have not taken; nothing where the catalogue
/// did not say.
#[derive(Clone, Default)]
pub struct Rows {
    pub clips: Option<Vec<(ClipState, u64)>>,
    /// Events by endpoint.
    pub backlogs: Option<Vec<Backlog>>,
}

/// The looks.
pub struct Vitals {
    /// Cancelled when the node is to be sent nothing more.
    pub draining: CancellationToken,
    folders: Vec<PathBuf>,
    rows: SharedProbe<Rows>,
    ready: SharedProbe<Option<&'static str>>,
}

impl Vitals {
    /// Nothing was looked at yet.
    pub fn new(config: &Config) -> Self {
        let mut folders = vec![config.data.clone()];
        if let StoreUrl::Folder(path) = &config.store {
            folders.push(path.clone());
        }
        Self {
            draining: CancellationToken::new(),
            folders,
            rows: SharedProbe::new(COUNT_EVERY),
            ready: SharedProbe::new(LOOK_EVERY),
        }
    }

    /// How many rows there are, counted in the last ten seconds.
    pub async fn rows(&self, catalog: &Arc<dyn Catalog>) -> Rows {
        let catalog = Arc::clone(catalog);
        let count = async move {
            let clips = timeout(CHECK_TIMEOUT, catalog.count_by_state());
            let backlogs = timeout(CHECK_TIMEOUT, catalog.count_deliveries());
            let (clips, backlogs) = tokio::join!(clips, backlogs);
            Rows { clips: clips.ok().and_then(Result::ok), backlogs: backlogs.ok().and_then(Result::ok) }
        };
        self.rows.at(count).await.unwrap_or_default()
    }

    /// Why the node cannot do its work, if it cannot, as of the last second.
    pub async fn trouble(
        &self,
        catalog: &Arc<dyn Catalog>,
        intake: &Arc<Intake>,
        custody: &Arc<Custody>,
    ) -> Option<&'static str> {
        if self.draining.is_cancelled() {
            return Some("stopping");
        }
        let (catalog, intake, custody) = (Arc::clone(catalog), Arc::clone(intake), Arc::clone(custody));
        let folders = self.folders.clone();
        let look = async move {
            if !matches!(timeout(CHECK_TIMEOUT, catalog.ready()).await, Ok(Ok(()))) {
                return Some("the catalogue does not answer");
            }
            if intake.is_failing() {
                return Some("webhooks cannot be kept: see the log");
            }
            if let Some(not_ours) = custody.trouble().await {
                return Some(not_ours);
            }
            let is_full = spawn_blocking(move || folders.iter().any(is_full)).await;
            is_full.unwrap_or(false).then_some("the disk is full")
        };
        self.ready.at(look).await.unwrap_or(Some("stopping"))
    }
}

/// Whether nothing more can be written there. Where that cannot be told, the
/// catalogue tells.
fn is_full(folder: &PathBuf) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) < ROOM)
}
