//! The JSON of a lineage.

use clipkeep_core::{
    generation::{Clip, Kind},
    state::ClipState,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    catalog::lineage::{Lineage, Relative},
    dto::ClipRow,
    final_urls::FinalUrls,
};

/// A clip in a lineage.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RelativeRow {
    /// Its key.
    pub key: String,
    /// The clip that was made from it (an ancestor), or that it was made from
    /// (a descendant).
    pub of: String,
    /// How many steps away it is: 1 and up.
    pub depth: u32,
    /// The model's endpoint id.
    pub model: Option<String>,
    /// The prompt, unless only its hash is kept.
    pub prompt: Option<String>,
    /// Lower-case hex SHA-256 of the prompt after NFC and trimming.
    pub prompt_hash: Option<String>,
    /// Where it stands.
    #[schema(value_type = crate::schemas::ClipState)]
    pub state: ClipState,
    /// What sort of media it is.
    #[schema(value_type = crate::schemas::Kind)]
    pub kind: Kind,
    /// When clipkeep first heard of it (RFC 3339, UTC).
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Where it is, for good. Absent once it is lost, rejected or deleted.
    pub final_url: Option<String>,
}

/// Where a clip comes from, and what was made of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LineageRow {
    /// The clip itself.
    pub clip: ClipRow,
    /// What it was made from, the nearest first.
    pub ancestors: Vec<RelativeRow>,
    /// What was made from it, the nearest first.
    pub descendants: Vec<RelativeRow>,
    /// Whether these are all: long lineages are cut.
    pub complete: bool,
}

impl LineageRow {
    /// The lineage of `clip`.
    pub fn new(clip: Clip, lineage: Lineage, urls: &FinalUrls) -> Self {
        let rows = |found: Vec<Relative>| found.into_iter().map(|one| RelativeRow::new(one, urls)).collect();
        Self {
            clip: ClipRow::new(clip, urls),
            ancestors: rows(lineage.ancestors),
            descendants: rows(lineage.descendants),
            complete: lineage.complete,
        }
    }
}

impl RelativeRow {
    fn new(Relative { of, depth, clip }: Relative, urls: &FinalUrls) -> Self {
        let row = ClipRow::new(clip, urls);
        Self {
            key: row.key,
            of: of.into(),
            depth,
            model: row.model,
            prompt: row.prompt,
            prompt_hash: row.prompt_hash,
            state: row.state,
            kind: row.kind,
            created_at: row.created_at,
            final_url: row.final_url,
        }
    }
}
