//! The outbox: tells apps what happened to their clips, as Standard Webhooks.
//!
//! Each endpoint has a place among the events that moves on when what lies
//! before it was taken, and a row for each exception. One node at a time tells
//! an endpoint, under a lease.
//!
//! - `dispatcher` tells one endpoint: what is new, and what was not taken before.
//! - `send` is one attempt; `health` notices when none succeeds any more.
//! - `body` is what is told, there and in the stream of `feed`.

mod body;
mod dispatcher;
mod health;
mod send;
mod stream;

use std::{sync::Arc, time::Duration};

use clipkeep_core::{endpoint::Endpoint, event::Position, standard_webhook::EventSecret, time::Clock};
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::{body::text, send::client, stream::EventStream};
use crate::{
    catalog::{Catalog, NodeId},
    final_urls::FinalUrls,
    telemetry::Metrics,
};

/// What bounds and paces the telling.
#[derive(Clone, Debug)]
pub struct OutboxSettings {
    /// How long a lease on an endpoint holds without renewal.
    pub lease: Duration,
    /// How long what runs may take to end at shutdown.
    pub grace: Duration,
    /// How long an endpoint may take to answer.
    pub timeout: Duration,
    /// The delay before an event's first retry; each next one doubles.
    pub retry_base: Duration,
    /// The longest delay between retries.
    pub retry_max: Duration,
    /// For how long an event is tried before it is parked.
    pub keep: Duration,
    /// How many requests are under way to one endpoint.
    pub concurrency: usize,
    /// How many events are read at once.
    pub batch: u32,
    /// After how many subjects that fail in a row an endpoint is only probed.
    pub breaker: usize,
    /// The first pause between probes; each next one doubles.
    pub pause_base: Duration,
    /// The longest pause between probes.
    pub pause_max: Duration,
    /// How often is looked for events that are due again.
    pub poll: Duration,
}

impl OutboxSettings {
    /// The settings of a node.
    pub const fn new(lease: Duration, grace: Duration) -> Self {
        Self {
            lease,
            grace,
            timeout: Duration::from_secs(15),
            retry_base: Duration::from_secs(5),
            retry_max: Duration::from_secs(3600),
            keep: Duration::from_secs(24 * 3600),
            concurrency: 16,
            batch: 100,
            breaker: 5,
            pause_base: Duration::from_secs(1),
            pause_max: Duration::from_secs(60),
            poll: Duration::from_secs(1),
        }
    }
}

/// What the outbox works with.
pub struct OutboxParts {
    /// Who we are, as written into leases.
    pub node: NodeId,
    /// Bounds and pace.
    pub settings: OutboxSettings,
    /// Whom to tell.
    pub endpoints: Vec<Endpoint>,
    /// What it is signed with.
    pub secret: EventSecret,
    /// See [`client`].
    pub http: reqwest::Client,
    /// Where clips are for good.
    pub urls: FinalUrls,
    /// Events, rows, and how far each endpoint was told.
    pub catalog: Arc<dyn Catalog>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
}

/// Delivers events to every endpoint until `stop`. `latest` changes when something happened.
pub async fn run(parts: &Arc<OutboxParts>, latest: watch::Receiver<Position>, stop: &CancellationToken) {
    let dispatcher =
        |endpoint: &Endpoint| dispatcher::Dispatcher::new(Arc::clone(parts), endpoint.clone(), latest.clone());
    join_all(parts.endpoints.iter().map(|endpoint| dispatcher(endpoint).run(stop.clone()))).await;
}
