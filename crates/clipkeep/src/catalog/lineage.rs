//! Lineage: which clips a clip was made from, and which were made from it.

use std::collections::{BTreeSet, VecDeque};

use async_trait::async_trait;
use clipkeep_core::{
    generation::Clip,
    id::{ClipKey, Tenant},
};

use super::{Catalog, Result};

/// How far a lineage is followed.
const MAX_DEPTH: u32 = 32;
/// How many ancestors are shown, and how many descendants.
const MAX_RELATIVES: u32 = 500;

/// Parents and children of clips.
#[async_trait]
pub trait Relatives: Send + Sync {
    /// The known clips whose URLs stood in the input of this clip's generation;
    /// with a tenant, only its own.
    async fn parents(&self, of: &ClipKey, tenant: Option<&Tenant>, limit: u32) -> Result<Vec<Clip>>;

    /// The clips of generations in whose input this clip's URL stood; with a
    /// tenant, only its own.
    async fn children(&self, of: &ClipKey, tenant: Option<&Tenant>, limit: u32) -> Result<Vec<Clip>>;
}

/// A clip that another one descends from, or that descends from it.
#[derive(Clone, Debug)]
pub struct Relative {
    /// The clip whose parent (or child) it is.
    pub of: ClipKey,
    /// How far it is from where the lineage starts: 1 and up.
    pub depth: u32,
    pub clip: Clip,
}

/// Where a clip comes from, and what came of it. Each relative stands there
/// once, by its shortest path; so a circle ends where it began.
#[derive(Clone, Debug)]
pub struct Lineage {
    /// What it was made from, the nearest first.
    pub ancestors: Vec<Relative>,
    /// What was made from it, the nearest first.
    pub descendants: Vec<Relative>,
    /// Whether these are all.
    pub complete: bool,
}

/// The lineage of a clip; with a tenant, as far as it is its own.
pub async fn lineage(catalog: &dyn Catalog, key: &ClipKey, tenant: Option<&Tenant>) -> Result<Lineage> {
    let (ancestors, all_up) = follow(catalog, key, tenant, Direction::Up).await?;
    let (descendants, all_down) = follow(catalog, key, tenant, Direction::Down).await?;
    Ok(Lineage { ancestors, descendants, complete: all_up && all_down })
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

/// All that this direction leads to, breadth first; and whether that is all.
async fn follow(
    catalog: &dyn Catalog,
    start: &ClipKey,
    tenant: Option<&Tenant>,
    direction: Direction,
) -> Result<(Vec<Relative>, bool)> {
    let mut seen = BTreeSet::from([start.clone()]);
    let mut open = VecDeque::from([(start.clone(), 1)]);
    let (mut found, mut complete) = (Vec::new(), true);
    while let Some((of, depth)) = open.pop_front() {
        // One more than may be shown, to see whether there is one.
        let clips = match direction {
            Direction::Up => catalog.parents(&of, tenant, MAX_RELATIVES + 1).await?,
            Direction::Down => catalog.children(&of, tenant, MAX_RELATIVES + 1).await?,
        };
        complete &= clips.len() <= MAX_RELATIVES as usize;
        for clip in clips {
            if !seen.insert(clip.key.clone()) {
                continue;
            }
            if depth > MAX_DEPTH || found.len() == MAX_RELATIVES as usize {
                return Ok((found, false));
            }
            open.push_back((clip.key.clone(), depth + 1));
            found.push(Relative { of: of.clone(), depth, clip });
        }
    }
    Ok((found, complete))
}
