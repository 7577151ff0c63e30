//! The catalogue's part in keeping rows and objects one: deletion, retention,
//! drift, verification.

use std::time::Duration;

use async_trait::async_trait;
use clipkeep_core::{
    id::{ClipKey, Tenant},
    state::ClipState,
    time::Timestamp,
};

use super::{Cursor, Result};

/// By when every node has heard that a clip is stored no more. New bytes come
/// after that: none may stand under the old ones' ETag.
pub const NOTICE_DELAY: Duration = Duration::from_secs(3);

/// What asking for a deletion did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted from now on.
    Deleted,
    Already,
    /// There is no such clip.
    Unknown,
}

/// What a stored clip's row says of its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    pub key: ClipKey,
    /// Under which clip's key its bytes are.
    pub object: ClipKey,
    /// Whether that is another clip, which is stored, too: whoever looks after
    /// that one looks after the object.
    pub has_owner: bool,
    pub epoch: i64,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
    /// When it was confirmed in the store.
    pub stored_at: Timestamp,
    /// When its bytes were last read and found right.
    pub verified_at: Option<Timestamp>,
    /// Whether it could be fetched again. What a provider wrote into our own
    /// store has no other copy: damaged, it must not be taken for its source.
    pub has_source: bool,
}

/// A clip that is not open with what rules of retention ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgedClip {
    /// Its key, and when it was first heard of.
    pub at: Cursor,
    pub model: Option<String>,
    pub tenant: Option<Tenant>,
}

/// Keeping rows and objects one.
#[async_trait]
pub trait Maintenance: Send + Sync {
    /// Who this catalogue is: made with it, never changed.
    async fn identity(&self) -> Result<String>;

    /// Deletes a clip, whatever its state, and tells the world: the row becomes
    /// a tombstone, and whoever fills it loses the lease. Its object is to be
    /// removed now, and once more at `remove_at`.
    async fn delete(&self, key: &ClipKey, at: Timestamp, remove_at: Timestamp, why: &str) -> Result<Deletion>;

    /// Tombstones whose objects are to be removed at `now`, oldest first.
    async fn tombstones(&self, now: Timestamp, limit: u32) -> Result<Vec<ClipKey>>;

    /// How many these are.
    async fn count_tombstones(&self, now: Timestamp) -> Result<u64>;

    /// The object of a tombstone was removed at `at`, and nothing can put it
    /// back any more.
    async fn removed(&self, key: &ClipKey, at: Timestamp) -> Result<()>;

    /// The object of a tombstone could not be removed at `at`: it is tried again a
    /// minute later, then after twice as long each time, a day at most. Answers
    /// whether it is the first time, which goes into the history.
    async fn not_removed(&self, key: &ClipKey, at: Timestamp) -> Result<bool>;

    /// Stored clips by key, after `after`.
    async fn stored_objects(&self, after: Option<&ClipKey>, limit: u32) -> Result<Vec<StoredObject>>;

    /// A clip's row as far as its object goes, if it is stored.
    async fn stored_object(&self, key: &ClipKey) -> Result<Option<StoredObject>>;

    /// Clips that are stored, lost or rejected and were created before `before`,
    /// oldest first, after `after`.
    async fn aged(&self, after: Option<&Cursor>, before: Timestamp, limit: u32) -> Result<Vec<AgedClip>>;

    /// Of these keys, those that have a row, and its state. At most a thousand.
    async fn states(&self, keys: &[ClipKey]) -> Result<Vec<(ClipKey, ClipState)>>;

    /// The object of this stored content epoch is gone or damaged: the clip is
    /// `waiting` under the next epoch, due at `due`, its attempts start over, and
    /// what was sealed is forgotten; and so are all clips that share the object.
    /// `false` if it is another epoch, or stored no more.
    async fn object_lost(&self, key: &ClipKey, epoch: i64, at: Timestamp, due: Timestamp, why: &str) -> Result<bool>;

    /// How many leases ran out whose clips nobody took over yet.
    async fn leases_run_out(&self, now: Timestamp) -> Result<u64>;

    /// When the long work of this name was begun: at `now`, unless it is going
    /// on already.
    async fn begin_run(&self, name: &str, now: Timestamp) -> Result<Timestamp>;

    /// The long work of this name is done.
    async fn end_run(&self, name: &str) -> Result<()>;

    /// Stored clips that were not verified since `since`, the longest ago first;
    /// after `after`, which is when that clip was verified, and its key.
    async fn unverified(
        &self,
        since: Timestamp,
        after: Option<&(Timestamp, ClipKey)>,
        limit: u32,
    ) -> Result<Vec<StoredObject>>;

    /// How many these are.
    async fn count_unverified(&self, since: Timestamp) -> Result<u64>;

    /// So many stored clips, chosen at random.
    async fn sample(&self, count: u32) -> Result<Vec<ClipKey>>;

    /// The stored bytes of this content epoch were read and are right.
    async fn verified(&self, key: &ClipKey, epoch: i64, at: Timestamp) -> Result<()>;

    /// Whether the stored bytes of this content epoch were read and found to be
    /// damaged, and never right since.
    async fn is_damaged(&self, key: &ClipKey, epoch: i64) -> Result<bool>;

    /// The stored bytes of this content epoch are not what they should be: for
    /// the history, unless its last line says just that, and for all nodes.
    async fn damaged(&self, key: &ClipKey, epoch: i64, at: Timestamp, what: &str) -> Result<()>;
}
