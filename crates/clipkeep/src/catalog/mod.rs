//! The catalogue: generations, clips, their history, and the queue of fills.
//!
//! One trait, two databases, one contract suite. Each method is one use case
//! and one transaction; no transaction outlives its call. A lookup that finds
//! nothing answers `None`.

mod adoption;
pub mod budgets;
mod cells;
mod claims;
pub mod costs;
mod due;
mod ending;
mod error;
mod events;
mod expiry;
pub mod forecast;
pub mod group;
mod hook_trust;
mod key_owners;
pub mod lineage;
pub mod lookup;
mod maintenance;
mod merge;
mod migrate;
pub mod open;
pub mod outbox;
mod outputs;
pub mod page;
pub mod polls;
pub mod posters;
pub mod postgres;
mod requeue;
mod restart;
pub mod revocations;
pub mod risk;
mod row;
mod rules;
mod search;
pub mod sessions;
pub mod sharing;
pub mod sqlite;
pub mod submissions;
pub mod tenants;
pub mod tokens;
pub mod unreads;
pub mod usage;

use std::time::Duration;

use async_trait::async_trait;
use clipkeep_core::{
    generation::{Clip, Facts, Generation, HistoryEntry, HookRecord, Sealed},
    id::{ClipKey, Provider, RequestId, Tenant},
    search::Words,
    seed::Seed,
    state::ClipState,
    time::Timestamp,
    version::SourceVersion,
    view::View,
};

pub use self::{
    costs::{CostBook, GeneratedLine, Names, OperationsRow, StoredLine},
    ending::Attempt,
    error::{CatalogError, Result},
    expiry::{Expiry, ForgottenHistory},
    lineage::Relatives,
    lookup::{ClipSummary, LeaseHolder, Lookup},
    maintenance::{AgedClip, Deletion, Maintenance, NOTICE_DELAY, StoredObject},
    outbox::Outbox,
    requeue::Requeue,
    usage::{UsageBatch, UsageBook, UsageFilter, UsageGroup, UsageLine, UsagePage},
};

pub use self::due::{FRESH_FOR, MAX_VANISHED, Quota};
use self::{
    budgets::Budgets, forecast::QueueForecast, polls::Polls, posters::Posters, revocations::Revocations, risk::AtRisk,
    sessions::Sessions, sharing::Sharing, submissions::Submissions, tenants::Tenants, tokens::Tokens, unreads::Unreads,
};

/// What committing a webhook did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookOutcome {
    /// It told something new: these clips are new, or have a new source.
    Recorded { clips: Vec<ClipKey> },
    /// All of it was known already; nothing changed.
    Duplicate,
}

/// A registration: what an app tells of a generation by itself.
#[derive(Clone, Debug)]
pub struct Registration {
    pub provider: Provider,
    /// The provider's id of it.
    pub request_id: RequestId,
    /// What is known of it.
    pub facts: Facts,
    pub at: Timestamp,
}

/// Who fills: written into a lease so that people can see it.
pub type NodeId = String;

/// The right to fill one clip, until it runs out. Every write under it carries
/// the fence; a later lease's fence is higher, so a late writer is refused.
#[derive(Clone, Debug)]
pub struct Lease {
    pub key: ClipKey,
    pub fence: i64,
}

/// Whose fault a failed attempt was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The source answered, but not with the clip. Counted as a miss: after
    /// enough of them the source is taken to be gone.
    Source,
    /// Anything else: the network, the store, the database, this node.
    Elsewhere,
}

/// A lease with the row it was taken on.
#[derive(Clone, Debug)]
pub struct Claim {
    pub lease: Lease,
    /// The row as it was when claimed (state `filling`, this attempt counted).
    pub clip: Clip,
    /// Whether it comes from the backlog.
    pub backlog: bool,
}

/// What a content epoch serves, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    pub version: SourceVersion,
    /// The order of its bytes, once decided.
    pub view: Option<View>,
}

/// Which clips a list shows. All that are set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClipFilter {
    pub key: Option<ClipKey>,
    pub request_id: Option<RequestId>,
    pub model: Option<String>,
    pub prompt_hash: Option<String>,
    /// Of this tenant.
    pub tenant: Option<Tenant>,
    pub state: Option<ClipState>,
    /// Made with this seed.
    pub seed: Option<Seed>,
    /// Whose bytes carry a C2PA manifest, or were looked at and do not.
    pub c2pa: Option<bool>,
    /// Whose prompt is kept and holds all these words.
    pub words: Option<Words>,
    /// Created at or after.
    pub created_after: Option<Timestamp>,
    /// Created before.
    pub created_before: Option<Timestamp>,
}

/// Where a page of clips starts: after this clip, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The last clip's `created_at`.
    pub created_at: Timestamp,
    /// The last clip's key.
    pub key: ClipKey,
}

/// A page of clips, newest first, then by key descending.
#[derive(Clone, Debug)]
pub struct ClipPage {
    pub clips: Vec<Clip>,
    /// Where the next page starts, if there is one.
    pub next: Option<Cursor>,
}

/// The catalogue.
#[async_trait]
pub trait Catalog:
    AtRisk
    + Budgets
    + CostBook
    + Expiry
    + Relatives
    + Lookup
    + Outbox
    + QueueForecast
    + Polls
    + Posters
    + Requeue
    + Revocations
    + Sessions
    + Sharing
    + Submissions
    + Tenants
    + Tokens
    + Unreads
    + Maintenance
    + UsageBook
    + Send
    + Sync
    + 'static
{
    /// Commits verified webhooks together, durably, in one transaction:
    /// generations, clips, history and the work (a due clip *is* the work).
    ///
    /// Facts merge: what is there first stays, what is missing is filled in;
    /// prompt and prompt hash travel together. A generation's status moves only
    /// by [`clipkeep_core::state::GenerationStatus::after`]. A clip that is known
    /// stays as it is, except that a *different* source URL replaces the source
    /// of a clip that is `waiting`, `filling`, `lost` or `rejected`: it goes back
    /// to `waiting`, its fence and epoch rise, attempts start over, it is due. The
    /// same source, told once more, brings a clip back that is `lost` or `rejected`:
    /// at once for the first time, and later each next time, so that whoever
    /// repeats itself does not have a source asked that often. A clip whose
    /// attempts vanished stays as it is.
    /// Where the provider is to write into our own store, nothing replaces that
    /// before it is `lost` or `rejected`; saying it again then starts it over.
    /// The policy and due time of a new clip come from the merged facts.
    ///
    /// Objects that were found in the store without anybody having told of them
    /// (`adopted`) become those of the first provider that tells of their id: its
    /// generation takes their facts and clips over, and what is stored stays so.
    ///
    /// Answers in the order of `hooks`. `KeyTaken` for one fails the batch; the
    /// caller then commits one by one.
    async fn record_hooks(&self, hooks: &[HookRecord]) -> Result<Vec<HookOutcome>>;

    /// Registers a generation, or merges what is told of a known one (as
    /// [`Catalog::record_hooks`] does; known clips take the merged facts).
    async fn register(&self, registration: &Registration) -> Result<Generation>;

    /// A generation by its provider's id. Should two providers have given the
    /// same id, the older one.
    async fn generation(&self, request_id: &RequestId) -> Result<Option<Generation>>;

    /// A clip's row, by its name or by the one under which it was announced.
    async fn clip(&self, key: &ClipKey) -> Result<Option<Clip>>;

    /// A page of clips, newest first. Uses an index for each single filter, and
    /// for words together with tenant, model and time.
    async fn clips(&self, filter: &ClipFilter, after: Option<&Cursor>, limit: u32) -> Result<ClipPage>;

    /// A clip's history, oldest first.
    async fn history(&self, key: &ClipKey) -> Result<Vec<HistoryEntry>>;

    /// Claims clips that are due at `now`: `waiting` and due, or `filling` under
    /// a lease that ran out. Two nodes never get the same.
    ///
    /// What is due has two sorts, of which [`Quota`] says how they share: fresh
    /// clips, newest first; and the backlog, soonest `source_expires_at` first
    /// (known before unknown), then oldest due. Backlog are deferred clips, and
    /// those that are due for [`FRESH_FOR`] or longer. The claims come in the order
    /// of the backlog.
    ///
    /// A clip whose attempts vanished [`MAX_VANISHED`] times in a row is not claimed
    /// but `rejected`.
    async fn claim_due(&self, node: &NodeId, now: Timestamp, lease: Duration, quota: Quota) -> Result<Vec<Claim>>;

    /// Claims this clip whether due or not (a viewer waits), unless it is
    /// leased by someone, stored, or over; or is over now, as with
    /// [`Catalog::claim_due`].
    async fn claim(&self, key: &ClipKey, node: &NodeId, now: Timestamp, lease: Duration) -> Result<Option<Claim>>;

    /// When the next clip will be due (or the next lease runs out), if any.
    async fn next_due(&self) -> Result<Option<Timestamp>>;

    /// Holds the lease until `until`; `reached` bytes of the clip are here.
    async fn renew(&self, lease: &Lease, until: Timestamp, reached: u64) -> Result<()>;

    /// The source turned out to be another version: raises the content epoch,
    /// forgets what was sealed, answers the new epoch.
    async fn raise_epoch(&self, lease: &Lease, at: Timestamp, why: &str) -> Result<i64>;

    /// Which version of the source this content epoch is: as was pinned before,
    /// or else `version` from now on. Where it is just this one, decides on
    /// `view` as [`Catalog::decide_view`] does. `None` if the epoch is over.
    async fn pin(
        &self,
        key: &ClipKey,
        epoch: i64,
        version: &SourceVersion,
        view: Option<&View>,
    ) -> Result<Option<Pinned>>;

    /// In which order the bytes of this content epoch are served: as was decided
    /// before, or else `view` from now on. `None` if the epoch is over.
    async fn decide_view(&self, key: &ClipKey, epoch: i64, view: &View) -> Result<Option<View>>;

    /// The media type that viewers of this content epoch are told: the one that
    /// was told before, or else `name` from now on. `None` if the epoch is over.
    async fn decide_type(&self, key: &ClipKey, epoch: i64, name: &str) -> Result<Option<String>>;

    /// The clip's bytes are not what its name says: it is called `to` from now on,
    /// with all that is known of it, and so is its lease. `false`, and nothing
    /// happens, if another clip is called so, or was.
    async fn rename(&self, lease: &Lease, to: &ClipKey, at: Timestamp) -> Result<bool>;

    /// All bytes were read and checked: writes down what they are, before the
    /// object becomes visible. A restart can then tell a finished object.
    async fn seal(&self, lease: &Lease, sealed: &Sealed, at: Timestamp) -> Result<()>;

    /// The object is confirmed in the store: the row becomes `stored`, the lease ends.
    async fn mark_stored(&self, lease: &Lease, attempt: Attempt) -> Result<()>;

    /// This attempt failed; the clip is `waiting` again, due at `due`. The lease ends.
    async fn retry_later(&self, lease: &Lease, attempt: Attempt, due: Timestamp, fault: Fault, why: &str)
    -> Result<()>;

    /// The node shuts down: the clip is `waiting`, due now, and this attempt
    /// does not count. The lease ends.
    async fn release(&self, lease: &Lease, attempt: Attempt) -> Result<()>;

    /// The source is gone for good. The lease ends.
    async fn mark_lost(&self, lease: &Lease, attempt: Attempt, why: &str) -> Result<()>;

    /// What came is no acceptable media. The lease ends.
    async fn mark_rejected(&self, lease: &Lease, attempt: Attempt, why: &str) -> Result<()>;

    /// The lease ends in this state, `lost` or `rejected`, because no request may
    /// go to this origin (scheme, host and port): see [`Requeue`].
    async fn mark_refused(
        &self,
        lease: &Lease,
        attempt: Attempt,
        end: ClipState,
        origin: &str,
        why: &str,
    ) -> Result<()>;

    /// How many clips stand in each state (states with none may be left out).
    async fn count_by_state(&self) -> Result<Vec<(ClipState, u64)>>;

    /// Whether the database answers: a real read, and for `doctor` a real write.
    async fn ping(&self) -> Result<()>;

    /// What of the database will hurt later, in words with their mend.
    async fn warnings(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Whether the database answers, and is one that takes writes: one look, and
    /// no write.
    async fn ready(&self) -> Result<()>;
}
