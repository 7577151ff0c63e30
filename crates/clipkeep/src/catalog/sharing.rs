//! Same bytes once: clips of one tenant whose bytes are equal share an object,
//! which stands under the key of one of them.
//!
//! The rule on which all of this rests: while a stored clip refers to another
//! clip's key, that clip is `stored` with an object of its own, or `deleted`. A
//! deleted clip never comes back, so an object whose name is a tombstone's, and
//! that no stored clip refers to, is referred to by none ever after: it may be
//! removed at any time, by anyone.

use async_trait::async_trait;
use clipkeep_core::{
    id::{ClipKey, Tenant},
    seed::Seed,
    state::ClipState,
    time::Timestamp,
};

use super::{
    Attempt, Lease, Result,
    cells::{Cells, Columns},
    page,
};

/// A stored clip that holds the bytes of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    pub key: ClipKey,
    /// Under which clip's key its bytes are.
    pub object: ClipKey,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex SHA-256 of its bytes.
    pub sha256: String,
}

/// A stored clip that is to get an object of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsharing {
    pub key: ClipKey,
    pub epoch: i64,
    /// Under which clip's key its bytes are so far.
    pub object: ClipKey,
    /// Bytes.
    pub size: u64,
}

/// What the object under a clip's key is to the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectOwner {
    pub key: ClipKey,
    pub state: ClipState,
    /// No clip's bytes are under this key: its clip is deleted, or its bytes are
    /// elsewhere, and nobody refers to it.
    pub is_spare: bool,
}

/// Bytes that one tenant was given more than once, and that are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct DuplicateGroup {
    pub tenant: Option<Tenant>,
    /// Lower-case hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// How many stored clips have them.
    pub clips: u64,
    /// How many objects hold them.
    pub objects: u64,
    /// When they were last stored.
    pub newest_at: Timestamp,
    /// The first of these clips by key.
    pub examples: Vec<DuplicateClip>,
}

impl DuplicateGroup {
    /// How many bytes less the store holds because they share objects.
    pub fn saved(&self) -> u64 {
        self.size.saturating_mul(self.clips.saturating_sub(self.objects))
    }
}

/// One of the clips with the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateClip {
    pub key: ClipKey,
    pub model: Option<String>,
    /// Its prompt, unless only the hash is kept.
    pub prompt: Option<String>,
    pub prompt_hash: Option<String>,
    pub seed: Option<Seed>,
    /// When it was first heard of.
    pub created_at: Timestamp,
}

/// Where a page of duplicates starts: after this one, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateCursor {
    /// The last one's `newest_at`.
    pub newest_at: Timestamp,
    /// The last one's tenant, empty for none.
    pub tenant: String,
    /// The last one's checksum.
    pub sha256: String,
}

/// A page of duplicates, newest first.
#[derive(Clone, Debug)]
pub struct DuplicatePage {
    /// The duplicates; those that are none any more are left out.
    pub duplicates: Vec<DuplicateGroup>,
    /// Where the next page starts, if there is one.
    pub next: Option<DuplicateCursor>,
}

/// How many clips of a group are listed by key, at most.
pub(super) const EXAMPLES: u32 = 10;

/// Sharing objects.
#[async_trait]
pub trait Sharing: Send + Sync {
    /// A stored clip of the same tenant with the bytes that this clip is sealed
    /// with; or that it had before their object was lost, unless a version of
    /// its source was shown to viewers since.
    async fn find_duplicate(&self, key: &ClipKey) -> Result<Option<Duplicate>>;

    /// The row becomes `stored` with its duplicate's object, and the lease ends; it is
    /// sealed as its duplicate is, if it is not yet. `false`, and nothing happens, if
    /// the duplicate is no longer what it was.
    async fn mark_shared(&self, lease: &Lease, duplicate: &Duplicate, attempt: Attempt) -> Result<bool>;

    /// The objects that may be removed now that this clip is deleted: the one
    /// under its key, and the one it shared, as far as nobody refers to them.
    async fn removals(&self, key: &ClipKey) -> Result<Vec<ClipKey>>;

    /// Of these keys, those that have a row, or that a clip had before: then what is
    /// under it is spare. At most a thousand.
    async fn object_owners(&self, keys: &[ClipKey]) -> Result<Vec<ObjectOwner>>;

    /// How many other stored clips refer to the object of this one.
    async fn sharers(&self, key: &ClipKey) -> Result<u64>;

    /// Marks up to `limit` clips that share an object to be unshared at `now`; answers how many.
    async fn schedule_unsharing(&self, now: Timestamp, limit: u32) -> Result<u64>;

    /// Claims clips that are due to be unshared; they are hidden from others until `until`.
    async fn claim_unsharing(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Unsharing>>;

    /// The clip's bytes are under its own key now. Those that it shared are
    /// looked after at `remove_at`, should they be a deleted clip's. `false` if
    /// it is no longer what it was.
    async fn unshared(&self, unsharing: &Unsharing, at: Timestamp, remove_at: Timestamp) -> Result<bool>;

    /// A page of what was generated more than once, newest first; of this tenant
    /// alone, if one is given.
    async fn duplicates(
        &self,
        tenant: Option<&Tenant>,
        after: Option<&DuplicateCursor>,
        limit: u32,
    ) -> Result<DuplicatePage>;
}

/// Reads `key, object_key, size, sha256`.
pub(super) fn duplicate(row: &impl Columns) -> Result<Duplicate> {
    let cells = Cells::of(row, "clips", "key")?;
    Ok(Duplicate {
        key: cells.must("key", cells.name("key"))?,
        object: cells.must("object_key", cells.name("object_key"))?,
        size: cells.must("size", cells.number("size"))?,
        sha256: cells.must("sha256", cells.text("sha256"))?,
    })
}

/// Reads `key, epoch, object_key, size`.
pub(super) fn unsharing(row: &impl Columns) -> Result<Unsharing> {
    let cells = Cells::of(row, "clips", "key")?;
    Ok(Unsharing {
        key: cells.must("key", cells.name("key"))?,
        epoch: cells.must("epoch", cells.number("epoch"))?,
        object: cells.must("object_key", cells.name("object_key"))?,
        size: cells.must("size", cells.number("size"))?,
    })
}

/// Reads `key, state, spare`.
pub(super) fn object_owner(row: &impl Columns) -> Result<ObjectOwner> {
    let cells = Cells::of(row, "clips", "key")?;
    Ok(ObjectOwner {
        key: cells.must("key", cells.name("key"))?,
        state: cells.must("state", cells.name("state"))?,
        is_spare: cells.must::<i64>("spare", cells.number("spare"))? != 0,
    })
}

/// Reads `sha256, tenant, newest_at`: which bytes came again, and when.
pub(super) fn cursor(row: &impl Columns) -> Result<DuplicateCursor> {
    let cells = Cells::of(row, "duplicates", "sha256")?;
    Ok(DuplicateCursor {
        newest_at: cells.must("newest_at", cells.time("newest_at"))?,
        tenant: cells.must("tenant", cells.text("tenant"))?,
        sha256: cells.must("sha256", cells.text("sha256"))?,
    })
}

/// Reads `sha256, size, clips, objects`; none, if there are fewer than two.
pub(super) fn duplicate_group(
    row: &impl Columns,
    of: &DuplicateCursor,
    examples: Vec<DuplicateClip>,
) -> Result<Option<DuplicateGroup>> {
    let cells = Cells::of(row, "duplicates", "sha256")?;
    let clips = cells.must("clips", cells.number("clips"))?;
    if clips < 2 {
        return Ok(None);
    }
    Ok(Some(DuplicateGroup {
        tenant: of.tenant.parse().ok(),
        sha256: of.sha256.clone(),
        size: cells.must("size", cells.number("size"))?,
        clips,
        objects: cells.must("objects", cells.number("objects"))?,
        newest_at: of.newest_at,
        examples,
    }))
}

/// Reads `key, model, prompt, prompt_hash, seed, seed_beyond, created_at`.
pub(super) fn example(row: &impl Columns) -> Result<DuplicateClip> {
    let cells = Cells::of(row, "clips", "key")?;
    Ok(DuplicateClip {
        key: cells.must("key", cells.name("key"))?,
        model: cells.text("model")?,
        prompt: cells.text("prompt")?,
        prompt_hash: cells.text("prompt_hash")?,
        seed: cells.seed()?,
        created_at: cells.must("created_at", cells.time("created_at"))?,
    })
}

/// Cuts what was read of one more than `limit` to a page, and tells where the
/// next one starts.
pub(super) fn cut(found: &mut Vec<DuplicateCursor>, limit: u32) -> Option<DuplicateCursor> {
    let wanted = page::size(limit) as usize;
    let more = found.len() > wanted;
    found.truncate(wanted);
    found.last().filter(|_| more).cloned()
}
