//! Tells one endpoint. Two lanes run side by side: what is new, and what was not
//! taken before. Within each, different subjects go at once and one subject's
//! events one after the other; an event whose subject has an earlier one waiting
//! queues behind it.

use std::{sync::Arc, time::Duration};

use clipkeep_core::{backoff, endpoint::Endpoint, event::Position, time::Timestamp};
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    OutboxParts, body,
    health::Health,
    send::{Answer, send},
};
use crate::{
    catalog::{
        NodeId, Result,
        outbox::{Delivery, DeliveryOutcome, DeliveryResult, EndpointLease},
    },
    fill::random,
};

/// How long to wait after the catalogue did not answer.
const CATALOG_PAUSE: Duration = Duration::from_secs(1);

/// How often a lease is looked at, at least: whoever asks for a replay ends it.
const MAX_HEARTBEAT: Duration = Duration::from_secs(5);

/// What tells one endpoint.
pub(super) struct Dispatcher {
    parts: Arc<OutboxParts>,
    /// Who we are in leases. No other has this name, so a lease under it of which
    /// we do not know is one whose answer we did not hear.
    name: NodeId,
    endpoint: Endpoint,
    health: Health,
    /// Until when the lease surely holds. A process that was stopped for a while
    /// must not send under one that another node has taken over meanwhile.
    held_until: Mutex<Instant>,
    latest: watch::Receiver<Position>,
}

/// How a look for new events ended.
enum Pass {
    /// There are none.
    Idle,
    /// The endpoint was told up to here.
    Moved(Position),
    Lost,
}

impl Dispatcher {
    pub(super) fn new(parts: Arc<OutboxParts>, endpoint: Endpoint, latest: watch::Receiver<Position>) -> Self {
        let name = format!("{}/{:09}", parts.node, (random() * 1e9) as u32);
        let held_until = Mutex::new(Instant::now());
        Self { health: Health::new(&parts.settings), held_until, name, parts, endpoint, latest }
    }

    /// Tells the endpoint whenever this node holds the lease, until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.claim().await {
                Ok(Some(lease)) => self.term(&lease, &stop).await,
                Ok(None) => rest(self.beat(), &stop).await,
                Err(error) => {
                    self.warn(&error, "cannot claim an endpoint");
                    rest(CATALOG_PAUSE, &stop).await;
                }
            }
        }
    }

    /// How often the lease is looked at.
    fn beat(&self) -> Duration {
        (self.parts.settings.lease / 3).min(MAX_HEARTBEAT)
    }

    async fn claim(&self) -> Result<Option<EndpointLease>> {
        let OutboxParts { settings, catalog, clock, .. } = &*self.parts;
        let until = Instant::now() + settings.lease;
        let lease = catalog.claim_endpoint(self.endpoint.name(), &self.name, clock.now(), settings.lease).await?;
        *self.held_until.lock() = until;
        Ok(lease)
    }

    /// Works under one lease. A lane that is dropped in the middle loses
    /// nothing: what was not written down is told again.
    async fn term(&self, lease: &EndpointLease, stop: &CancellationToken) {
        tracing::info!(endpoint = self.endpoint.name(), "this node tells the endpoint of events");
        let out_of_time = async {
            stop.cancelled().await;
            tokio::time::sleep(self.parts.settings.grace).await;
        };
        let over = stop.child_token();
        let lanes = async { tokio::join!(self.send_new(lease, &over), self.resend(lease, &over)) };
        tokio::select! {
            _ = lanes => {}
            () = self.hold(lease) => {}
            () = out_of_time => {}
        }
        if stop.is_cancelled()
            && let Err(error) = self.parts.catalog.release_endpoint(lease).await
        {
            self.warn(&error, "cannot release an endpoint");
        }
    }

    /// Renews the lease; returns when it is over.
    async fn hold(&self, lease: &EndpointLease) {
        let OutboxParts { settings, catalog, clock, .. } = &*self.parts;
        while self.holds() {
            tokio::time::sleep(self.beat()).await;
            let until = Instant::now() + settings.lease;
            match catalog.renew_endpoint(lease, clock.now().plus(settings.lease)).await {
                Ok(true) => *self.held_until.lock() = until,
                Ok(false) => return,
                Err(error) => self.warn(&error, "cannot renew the lease on an endpoint"),
            }
        }
    }

    fn holds(&self) -> bool {
        Instant::now() < *self.held_until.lock()
    }

    /// The first lane: events after the endpoint's place. A lane that finds the
    /// lease over stops the other.
    async fn send_new(&self, lease: &EndpointLease, stop: &CancellationToken) {
        let mut cursor = lease.cursor;
        let mut latest = self.latest.clone();
        while !stop.is_cancelled() {
            let probing = self.pause_if_down(stop).await;
            latest.mark_unchanged();
            match self.pass(lease, cursor, probing).await {
                Ok(Pass::Moved(to)) => cursor = to,
                Ok(Pass::Lost) => return stop.cancel(),
                Ok(Pass::Idle) => tokio::select! {
                    changed = latest.changed() => if changed.is_err() { return },
                    () = stop.cancelled() => {}
                },
                Err(error) => {
                    self.warn(&error, "cannot read events");
                    rest(CATALOG_PAUSE, stop).await;
                }
            }
        }
    }

    async fn pass(&self, lease: &EndpointLease, cursor: Position, probing: bool) -> Result<Pass> {
        let catalog = &self.parts.catalog;
        let events = catalog.events(cursor, self.batch(probing)).await?;
        let Some((last, _)) = events.last() else { return Ok(Pass::Idle) };
        let last = *last;
        let told = events.into_iter().filter(|(_, event)| event.kind.is_for_apps());
        let new: Vec<_> =
            told.map(|(position, event)| Delivery { position, event, attempts: 0, first_at: None }).collect();
        let subjects: Vec<_> = new.iter().map(|delivery| delivery.event.subject().to_owned()).collect();
        let blocked = catalog.blocked_subjects(self.endpoint.name(), &subjects).await?;
        let mut results = self.attempt(new, &blocked, probing).await;
        // What was taken needs no row: the place moves on past it.
        results.retain(|one| one.outcome != DeliveryOutcome::Delivered);
        let held = self.ack(lease, Some(last), &results).await;
        Ok(if held { Pass::Moved(last) } else { Pass::Lost })
    }

    /// The second lane: events that were not taken before.
    async fn resend(&self, lease: &EndpointLease, stop: &CancellationToken) {
        let OutboxParts { settings, catalog, clock, .. } = &*self.parts;
        while !stop.is_cancelled() {
            let probing = self.pause_if_down(stop).await;
            // Whichever comes next makes a probe, due or not.
            let now = if probing { Timestamp::from_millis(i64::MAX) } else { clock.now() };
            let due = match catalog.due_deliveries(self.endpoint.name(), now, self.batch(probing)).await {
                Ok(due) => due,
                Err(error) => {
                    self.warn(&error, "cannot read due events");
                    Vec::new()
                }
            };
            if due.is_empty() {
                rest(settings.poll, stop).await;
                continue;
            }
            let results = self.attempt(due, &[], probing).await;
            if !self.ack(lease, None, &results).await {
                return stop.cancel();
            }
        }
    }

    fn batch(&self, probing: bool) -> u32 {
        if probing { 1 } else { self.parts.settings.batch }
    }

    /// Waits while the endpoint is down; answers whether it is. Without a lease
    /// it waits, too, until whoever holds it has noticed.
    async fn pause_if_down(&self, stop: &CancellationToken) -> bool {
        while !self.holds() && !stop.is_cancelled() {
            rest(self.parts.settings.poll, stop).await;
        }
        if self.health.is_down() {
            rest(self.health.pause(&self.parts.settings), stop).await;
        }
        self.health.is_down()
    }

    /// Sends events, different subjects at once.
    async fn attempt(&self, deliveries: Vec<Delivery>, blocked: &[String], probing: bool) -> Vec<DeliveryResult> {
        let mut lines: Vec<Vec<Delivery>> = Vec::new();
        for delivery in deliveries {
            let of_it = |line: &&mut Vec<Delivery>| line[0].event.subject() == delivery.event.subject();
            match lines.iter_mut().find(of_it) {
                Some(line) => line.push(delivery),
                None => lines.push(vec![delivery]),
            }
        }
        let send = lines.into_iter().map(|line| self.line(line, blocked, probing));
        let results: Vec<_> = stream::iter(send).buffer_unordered(self.parts.settings.concurrency).collect().await;
        results.into_iter().flatten().collect()
    }

    /// Sends one subject's events in order, as far as they are taken.
    async fn line(&self, line: Vec<Delivery>, blocked: &[String], probing: bool) -> Vec<DeliveryResult> {
        let mut results = Vec::with_capacity(line.len());
        let mut stuck = line.first().is_some_and(|first| blocked.iter().any(|one| one == first.event.subject()));
        for delivery in line {
            let skip = stuck || (self.health.is_down() && !probing) || !self.holds();
            let outcome = if skip { DeliveryOutcome::Queued } else { self.deliver(&delivery).await };
            stuck = stuck || matches!(outcome, DeliveryOutcome::Waiting { .. } | DeliveryOutcome::Queued);
            let subject = delivery.event.subject().to_owned();
            results.push(DeliveryResult { position: delivery.position, subject, outcome });
        }
        results
    }

    /// One attempt, and what follows from it.
    async fn deliver(&self, delivery: &Delivery) -> DeliveryOutcome {
        let OutboxParts { settings, secret, http, urls, catalog, clock, .. } = &*self.parts;
        let body = match body::text(&**catalog, urls, &delivery.event).await {
            Ok(body) => body,
            Err(error) => return self.refused(delivery, error.to_string(), None, false),
        };
        let signing = (secret, &**clock);
        match send(http, &self.endpoint, signing, settings.timeout, delivery.position, body).await {
            Answer::Taken => {
                self.parts.metrics.event_sent("delivered");
                self.answered().await;
                DeliveryOutcome::Delivered
            }
            Answer::Refused { why, after, gone } => {
                if self.health.failed(delivery.event.subject(), after) {
                    tracing::error!(endpoint = self.endpoint.name(), why, "the endpoint takes nothing: it is probed");
                }
                self.refused(delivery, why, after, gone)
            }
        }
    }

    async fn answered(&self) {
        if !self.health.answered() {
            return;
        }
        tracing::info!(endpoint = self.endpoint.name(), "the endpoint takes events again");
        let OutboxParts { catalog, clock, .. } = &*self.parts;
        if let Err(error) = catalog.retry_deliveries_now(self.endpoint.name(), clock.now()).await {
            self.warn(&error, "cannot hasten what waits: it goes at its time");
        }
    }

    fn refused(&self, delivery: &Delivery, why: String, after: Option<Duration>, gone: bool) -> DeliveryOutcome {
        let OutboxParts { settings, clock, metrics, .. } = &*self.parts;
        let (now, attempts) = (clock.now(), delivery.attempts.saturating_add(1));
        let first_at = delivery.first_at.unwrap_or(now);
        let (endpoint, event) = (self.endpoint.name(), delivery.position.to_string());
        let (kind, subject) = (delivery.event.kind.as_str(), delivery.event.subject());
        if gone || now.since(first_at) >= settings.keep {
            metrics.event_sent("parked");
            tracing::error!(
                endpoint,
                event,
                kind,
                subject,
                attempts,
                why,
                "an endpoint did not take an event: parked; `clipkeep events replay --parked` sends it again"
            );
            return DeliveryOutcome::Parked { attempts, first_at, why };
        }
        metrics.event_sent("failed");
        let pause = backoff::delay(attempts, settings.retry_base, settings.retry_max, random());
        let pause = pause.max(after.unwrap_or_default());
        tracing::warn!(endpoint, event, kind, subject, attempts, why, retry_in = ?pause, "an event was not taken");
        DeliveryOutcome::Waiting { attempts, first_at, next_at: now.plus(pause), why }
    }

    /// Writes down what became of events, however long the catalogue is away:
    /// only then are they told once. Answers whether the lease was held.
    async fn ack(&self, lease: &EndpointLease, cursor: Option<Position>, results: &[DeliveryResult]) -> bool {
        loop {
            match self.parts.catalog.ack(lease, cursor, results, self.parts.clock.now()).await {
                Ok(held) => return held,
                Err(error) => self.warn(&error, "cannot write down what an endpoint took"),
            }
            tokio::time::sleep(CATALOG_PAUSE).await;
        }
    }

    fn warn(&self, error: &(dyn std::error::Error + 'static), what: &'static str) {
        tracing::warn!(endpoint = self.endpoint.name(), error, "{what}");
    }
}

/// Waits, but not beyond `stop`.
async fn rest(span: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(span) => {}
        () = stop.cancelled() => {}
    }
}
