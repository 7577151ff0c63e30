//! The outbox: what the world is told, and how far each endpoint was told.

use std::time::Duration;

use async_trait::async_trait;
use clipkeep_core::{
    event::{Event, EventType, Position},
    id::ClipKey,
    time::Timestamp,
};

use super::{NodeId, Result};

/// The right to tell one endpoint, until it runs out. What is written under it
/// carries the fence; a later lease's fence is higher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointLease {
    pub endpoint: String,
    pub fence: i64,
    /// Up to where it was told when the lease was taken.
    pub cursor: Position,
}

/// An event that an endpoint has not taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub position: Position,
    pub event: Event,
    /// How often it was sent.
    pub attempts: u32,
    /// When it was sent first.
    pub first_at: Option<Timestamp>,
}

/// What became of an event at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    Delivered,
    /// It was not sent, and goes when its subject's earlier events are gone.
    Queued,
    /// It was not taken, and is sent again.
    Waiting {
        /// How often it was sent.
        attempts: u32,
        /// When it was sent first.
        first_at: Timestamp,
        /// When it is sent again.
        next_at: Timestamp,
        /// Why it was not taken.
        why: String,
    },
    /// It was not taken, and is given up until somebody asks for it.
    Parked {
        /// How often it was sent.
        attempts: u32,
        /// When it was sent first.
        first_at: Timestamp,
        /// Why it was not taken.
        why: String,
    },
}

/// An event with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryResult {
    pub position: Position,
    /// What the event is about.
    pub subject: String,
    pub outcome: DeliveryOutcome,
}

/// An event that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedDelivery {
    pub endpoint: String,
    /// The event, and how often it was sent.
    pub delivery: Delivery,
    /// Why it was not taken.
    pub why: Option<String>,
}

/// An event that was not taken yet, and is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingDelivery {
    pub endpoint: String,
    /// The event, and how often it was sent.
    pub delivery: Delivery,
    /// When it is sent again; none as long as its subject's earlier events wait.
    pub next_at: Option<Timestamp>,
    /// Why it was not taken, if it was sent.
    pub why: Option<String>,
}

/// What an endpoint is to be told once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    Parked,
    /// All that came after.
    After(Position),
    /// All about one clip.
    Of(ClipKey),
}

/// How many events an endpoint has not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub endpoint: String,
    /// Those that are sent again.
    pub waiting: u64,
    /// Those that were given up.
    pub parked: u64,
    /// When the one that waits longest was sent first.
    pub oldest: Option<Timestamp>,
}

/// Whose an event of the table so named is, in SQL: its own tenant's, or its
/// generation's.
macro_rules! event_tenant {
    ($events:literal) => {
        concat!(
            "coalesce(",
            $events,
            ".tenant, (SELECT g.tenant FROM generations g WHERE g.request_id = ",
            $events,
            ".request_id AND g.provider = ",
            $events,
            ".provider)) AS tenant"
        )
    };
}
pub(super) use event_tenant;

/// The part of the catalogue that tells the world.
#[async_trait]
pub trait Outbox {
    /// What the world was told after `after`, in order. What is told later never
    /// comes before what was read already.
    async fn events(&self, after: Position, limit: u32) -> Result<Vec<(Position, Event)>>;

    /// The position that lies before all that will be told from now on.
    async fn last_event(&self) -> Result<Position>;

    /// Whether anybody can have been told of this position. Nothing ever comes
    /// after one that this database has not reached, or not for long.
    async fn is_reached(&self, position: Position) -> Result<bool>;

    /// The newest events of this type, or of all that apps are told, in order;
    /// with `after`, the oldest after it.
    async fn list_events(
        &self,
        kind: Option<EventType>,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Vec<(Position, Event)>>;

    /// Takes the right to tell `endpoint`, unless another than `node` holds it.
    /// An endpoint that is seen for the first time is told what happens from
    /// now on.
    async fn claim_endpoint(
        &self,
        endpoint: &str,
        node: &NodeId,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Option<EndpointLease>>;

    /// Holds the lease until `until`; answers whether it was still held.
    async fn renew_endpoint(&self, lease: &EndpointLease, until: Timestamp) -> Result<bool>;

    /// Gives the lease back.
    async fn release_endpoint(&self, lease: &EndpointLease) -> Result<()>;

    /// Those of `subjects` that have events waiting at `endpoint`.
    async fn blocked_subjects(&self, endpoint: &str, subjects: &[String]) -> Result<Vec<String>>;

    /// Waiting events whose time has come, soonest first; of each subject the
    /// earliest alone.
    async fn due_deliveries(&self, endpoint: &str, now: Timestamp, limit: u32) -> Result<Vec<Delivery>>;

    /// Writes down what became of events and, with `cursor`, up to where the
    /// endpoint was told; answers whether the lease was still held. Doing it
    /// again changes nothing.
    async fn ack(
        &self,
        lease: &EndpointLease,
        cursor: Option<Position>,
        results: &[DeliveryResult],
        at: Timestamp,
    ) -> Result<bool>;

    /// The endpoint answers again: whatever waits there is due at `now`.
    async fn retry_deliveries_now(&self, endpoint: &str, now: Timestamp) -> Result<()>;

    /// What was given up, by endpoint and in order.
    async fn parked_deliveries(&self, limit: u32) -> Result<Vec<ParkedDelivery>>;

    /// What was not taken yet and is sent again, by endpoint and in order.
    async fn waiting_deliveries(&self, limit: u32) -> Result<Vec<WaitingDelivery>>;

    /// Has an endpoint told once more; answers of how many events.
    async fn replay(&self, endpoint: &str, what: &Replay, now: Timestamp) -> Result<u64>;

    /// How many events wait or were given up, at each endpoint that has some.
    async fn count_deliveries(&self) -> Result<Vec<Backlog>>;
}
