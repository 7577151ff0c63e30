//! Usage: who got how much of which clip, counted in memory and written to the
//! catalogue each second.
//!
//! - `meter` counts what a connection's socket took of clips.
//! - `viewing` knows which answers are one play.
//! - `account` holds a clip's numbers until the next look.
//! - here: the look, each second and on the hour, and the write.
//!
//! A write carries a number of its own, so that one whose answer was lost is
//! not counted twice. While the catalogue is away, counts gather here.

mod account;
mod meter;
mod viewing;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clipkeep_core::{
    id::{ClipKey, Tenant},
    time::{Clock, Timestamp},
    usage::{Counts, HOUR_MILLIS, UsageRow, hour_of},
};
use data_encoding::HEXLOWER;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

pub use self::{
    account::Account,
    meter::{Answer, BytePosition, Meter},
    viewing::Viewer,
};
use self::{account::Touched, viewing::Viewings};
use crate::{
    catalog::{Catalog, CatalogError, OperationsRow, UsageBatch},
    request_counts::RequestCounts,
    telemetry::Metrics,
};

/// How much a crash may lose.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// How many rows wait for the catalogue at most.
const MAX_WAITING_ROWS: usize = 65_536;
/// How many rows are written at once.
const BATCH: usize = 4096;
/// How long the last write may take.
const FINAL_WRITE_TIMEOUT: Duration = Duration::from_secs(5);

type Waiting = BTreeMap<(Timestamp, ClipKey, Option<Tenant>), Counts>;

/// What was counted and is not written yet.
struct Book {
    /// The hour in which the counting since the last look began.
    hour: Timestamp,
    waiting: Waiting,
    operations: BTreeMap<Timestamp, (u64, u64)>,
}

/// The batch that is being written. It stays as it is until it is known to be
/// written: it might be already.
#[derive(Default)]
struct Sender {
    batch: Option<UsageBatch>,
    seq: i64,
}

/// An answer that is about to be delivered.
pub struct Delivery<'a> {
    pub account: &'a Arc<Account>,
    pub viewer: Viewer<'a>,
    /// Where its bytes stand.
    pub place: BytePosition,
    /// How many there are, if known.
    pub len: Option<u64>,
    /// Whether the node had them at hand.
    pub hit: bool,
    pub began: Instant,
}

/// The usage of this node.
pub struct Usage {
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// This process, and no other one ever.
    node: String,
    counting: AtomicBool,
    touched: Arc<Touched>,
    operations: Arc<RequestCounts>,
    viewings: Viewings,
    book: Mutex<Book>,
    sender: tokio::sync::Mutex<Sender>,
    wake: Notify,
}

impl Usage {
    /// Nothing counted yet. `node` is made unique by what is added to it.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        operations: Arc<RequestCounts>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        node: &str,
    ) -> Arc<Self> {
        let mut own = [0; 8];
        // Without randomness the name is the process's, which is unique for a day.
        let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut own);
        let node = format!("{node}:{}:{}", clock.now().millis(), HEXLOWER.encode(&own));
        let book = Book { hour: hour_of(clock.now()), waiting: Waiting::new(), operations: BTreeMap::new() };
        Arc::new(Self {
            catalog,
            clock,
            metrics,
            node,
            counting: AtomicBool::new(true),
            touched: Arc::default(),
            operations,
            viewings: Viewings::new(),
            book: Mutex::new(book),
            sender: tokio::sync::Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// Counts no deliveries from here on: what the benchmark compares with.
    pub fn stop_counting(&self) {
        self.counting.store(false, Ordering::Relaxed);
    }

    pub fn account(&self, key: &ClipKey, tenant: Option<&Tenant>) -> Arc<Account> {
        Account::new(key.clone(), tenant.cloned(), Arc::clone(&self.touched))
    }

    /// Takes a delivery down; its bytes are counted as they leave.
    pub fn deliver(&self, delivery: Delivery<'_>) -> Option<Answer> {
        if !self.counting.load(Ordering::Relaxed) {
            return None;
        }
        let Delivery { account, viewer, place, len, hit, began } = delivery;
        account.answered(hit);
        let viewing = match place {
            BytePosition::Beside => self.viewings.beside(account, began),
            _ => self.viewings.join(account, &viewer, began),
        };
        Some(Answer {
            is_tracked: !viewing.is_play(),
            viewing,
            place,
            began,
            expected: len,
            handed: 0,
            sent: 0,
            ended: false,
            failed: false,
        })
    }

    /// Looks and writes until `stop`.
    pub async fn run(&self, stop: &CancellationToken) {
        let look = async {
            while stop.run_until_cancelled(self.pause()).await.is_some() {
                self.collect();
                self.wake.notify_one();
            }
        };
        let write = async {
            while stop.run_until_cancelled(self.wake.notified()).await.is_some() {
                // A stop must not cut a write off: nobody would know of its end.
                self.write_or_warn().await;
            }
        };
        tokio::join!(look, write);
    }

    /// Until the next look: a second, or less if the hour ends or much gathers.
    async fn pause(&self) {
        let left = HOUR_MILLIS - self.clock.now().millis().rem_euclid(HOUR_MILLIS);
        let until = WRITE_INTERVAL.min(Duration::from_millis(left.unsigned_abs()));
        tokio::select! {
            () = tokio::time::sleep(until) => {}
            () = self.touched.many.notified() => {}
        }
    }

    /// Takes what was counted since the last look. It belongs to the hour in
    /// which that was: looks are made on the hour.
    fn collect(&self) {
        self.viewings.judge(false);
        let accounts = self.touched.take();
        let mut all = Counts::default();
        let mut lost = 0;
        {
            let book = &mut *self.book.lock();
            for account in accounts {
                let counts = account.take();
                all += counts;
                let id = (book.hour, account.key.clone(), account.tenant.clone());
                if book.waiting.len() >= MAX_WAITING_ROWS && !book.waiting.contains_key(&id) {
                    lost += 1;
                } else {
                    *book.waiting.entry(id).or_default() += counts;
                }
            }
            let (writes, reads) = self.operations.take();
            if writes + reads > 0 {
                let sums = book.operations.entry(book.hour).or_default();
                *sums = (sums.0 + writes, sums.1 + reads);
            }
            book.hour = hour_of(self.clock.now());
        }
        self.metrics.used(&all);
        if lost > 0 {
            tracing::error!(rows = lost, "the catalogue is away for so long that usage is lost");
            self.metrics.usage_lost(lost);
        }
    }

    /// Writes what waits.
    async fn write(&self) -> Result<(), CatalogError> {
        let sender = &mut *self.sender.lock().await;
        loop {
            if sender.batch.is_none() {
                let (rows, operations) = (self.next_rows(), self.next_operations());
                if rows.is_empty() && operations.is_empty() {
                    return Ok(());
                }
                sender.seq += 1;
                let (node, at) = (self.node.clone(), self.clock.now());
                sender.batch = Some(UsageBatch { node, seq: sender.seq, at, rows, operations });
            }
            if let Some(batch) = &sender.batch {
                self.catalog.add_usage(batch).await?;
            }
            sender.batch = None;
        }
    }

    fn next_rows(&self) -> Vec<UsageRow> {
        let mut book = self.book.lock();
        let mut rows = Vec::new();
        while rows.len() < BATCH {
            let Some(((hour, key, tenant), counts)) = book.waiting.pop_first() else { break };
            if !counts.is_empty() {
                rows.push(UsageRow { hour, key, tenant, counts });
            }
        }
        rows
    }

    fn next_operations(&self) -> Vec<OperationsRow> {
        let hours = std::mem::take(&mut self.book.lock().operations);
        hours.into_iter().map(|(hour, (writes, reads))| OperationsRow { hour, writes, reads }).collect()
    }

    async fn write_or_warn(&self) {
        if let Err(error) = self.write().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "usage is not written yet");
        }
    }

    /// Writes all that was counted so far. Gives up after a while.
    pub async fn flush(&self) {
        self.viewings.judge(true);
        self.collect();
        if tokio::time::timeout(FINAL_WRITE_TIMEOUT, self.write_or_warn()).await.is_err() {
            tracing::error!("the last usage is not written: the catalogue does not answer");
        }
    }
}

#[cfg(test)]
mod tests;
