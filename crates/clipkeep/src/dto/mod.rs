//! The JSON of generations and clips. Field names are the contract's.

pub mod lineage;

use std::time::Duration;

use clipkeep_core::{
    generation::{Clip, Generation, Kind, Poster},
    hook::Form,
    input::Input,
    policy::Policy,
    seed::Seed,
    state::{ClipState, GenerationStatus},
};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::schema::{Object, ObjectBuilder, SchemaType, Type},
};

use crate::{
    auth::Caller,
    catalog::{UsageLine, unreads::UnreadRow},
    final_urls::FinalUrls,
    schemas,
};

/// How much the clips of one generation repeat of its input. Where that would be
/// more, each names how long it is.
const MAX_REPEATED_INPUT: usize = 8 * 1024 * 1024;

/// A seed in the document: no format has a name for its range.
pub(crate) fn seed_schema() -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Integer, Type::Null]))
        .minimum(Some(-9_223_372_036_854_775_808.0))
        .maximum(Some(18_446_744_073_709_551_615.0))
        .description(Some("The seed, exactly: a whole number from -2^63 to 2^64 - 1"))
        .build()
}

/// A clip's metadata row.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ClipRow {
    /// The clip's name: `{request_id}.mp4`, then `{request_id}.1.mp4`, …
    pub key: String,
    /// The provider's id of its generation.
    pub request_id: String,
    /// The model's endpoint id.
    pub model: Option<String>,
    /// Lower-case hex SHA-256 of the prompt after NFC and trimming.
    pub prompt_hash: Option<String>,
    /// Where the clip is, for good. Absent once it is lost, rejected or deleted.
    pub final_url: Option<String>,
    /// Seconds.
    pub duration: Option<f64>,
    /// When clipkeep first heard of it (RFC 3339, UTC).
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Who generated it.
    pub provider: String,
    /// Whose it is.
    pub tenant: Option<String>,
    /// The prompt, unless only its hash is kept.
    pub prompt: Option<String>,
    /// The whole model input.
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Input>,
    /// The seed, exactly: a whole number from -2^63 to 2^64 - 1.
    #[schema(schema_with = seed_schema)]
    pub seed: Option<Seed>,
    /// Where it stands.
    #[schema(value_type = schemas::ClipState)]
    pub state: ClipState,
    /// What triggers its fill.
    #[schema(value_type = schemas::Policy)]
    pub policy: Policy,
    /// Whether it may be fetched without a signature, where that was said.
    pub public: Option<bool>,
    /// What sort of media it is.
    #[schema(value_type = schemas::Kind)]
    pub kind: Kind,
    /// Its media type; by content once it is stored.
    pub content_type: String,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// Frames per second.
    pub fps: Option<f64>,
    /// RFC 6381 codec of the main track.
    pub codec: Option<String>,
    /// Whether the stored bytes carry a C2PA manifest; null if they were stored
    /// before that was looked at.
    pub c2pa: Option<bool>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Lower-case hex SHA-256 of the stored bytes.
    pub sha256: Option<String>,
    /// When the source is expected to vanish.
    #[schema(format = DateTime)]
    pub source_expires_at: Option<String>,
    /// When it was confirmed in the store.
    #[schema(format = DateTime)]
    pub stored_at: Option<String>,
    /// When its stored bytes were last read again and found right.
    #[schema(format = DateTime)]
    pub verified_at: Option<String>,
    /// How often all of its links were revoked. An app that signs by itself adds
    /// it to the key's id where it is not 0, as in `k1.2`.
    pub link_generation: u32,
    /// How often its fill was started.
    pub attempts: u32,
    /// Why the last fill failed.
    pub last_error: Option<String>,
    /// Where its still is (JPEG, at most 640 pixels wide), once there is one. It is
    /// signed as the clip is, over its own path.
    pub poster_url: Option<String>,
    /// A placeholder for the still: its thumbhash, as base64.
    pub thumbhash: Option<String>,
    /// The provider's URL. Only in answers to admin tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_url: Option<String>,
}

impl ClipRow {
    /// The row of `clip`, without its source.
    pub fn new(clip: Clip, urls: &FinalUrls) -> Self {
        let live = !matches!(clip.state, ClipState::Lost | ClipState::Rejected | ClipState::Deleted);
        let media = clip.sealed.as_ref().filter(|_| clip.state == ClipState::Stored);
        let info = media.map(|sealed| &sealed.media);
        let (poster_url, thumbhash) = match &clip.poster {
            Poster::Made { thumbhash } => (Some(urls.poster(&clip.key)), Some(thumbhash.clone())),
            Poster::Untried | Poster::None => (None, None),
        };
        Self {
            final_url: live.then(|| urls.of(&clip.key)),
            duration: info.and_then(|m| m.duration),
            width: info.and_then(|m| m.width),
            height: info.and_then(|m| m.height),
            fps: info.and_then(|m| m.fps),
            codec: info.and_then(|m| m.codec.clone()),
            c2pa: info.and_then(|m| m.c2pa),
            kind: info.map_or(clip.kind, |m| m.kind),
            content_type: info.map_or(clip.content_type, |m| m.content_type.clone()),
            size: media.map(|sealed| sealed.size),
            sha256: media.map(|sealed| sealed.sha256.clone()),
            key: clip.key.into(),
            request_id: clip.request_id.into(),
            model: clip.facts.model,
            prompt_hash: clip.facts.prompt_hash,
            created_at: clip.created_at.to_string(),
            provider: clip.provider.into(),
            tenant: clip.facts.tenant.map(Into::into),
            prompt: clip.facts.prompt,
            input: clip.facts.input,
            seed: clip.facts.seed,
            state: clip.state,
            policy: clip.policy,
            public: clip.facts.public,
            source_expires_at: clip.source_expires_at.map(|at| at.to_string()),
            stored_at: clip.stored_at.map(|at| at.to_string()),
            verified_at: clip.verified_at.map(|at| at.to_string()),
            link_generation: clip.link_generation,
            attempts: clip.attempts,
            last_error: clip.last_error,
            poster_url,
            thumbhash,
            source_url: None,
        }
    }

    /// The row as `caller` sees it.
    pub fn seen_by(caller: &Caller, clip: Clip, urls: &FinalUrls) -> Self {
        match caller {
            Caller::Admin => Self::for_admin(clip, urls),
            Caller::Tenant(_) => Self::new(clip, urls),
        }
    }

    /// The row as an admin sees it: with its source.
    pub fn for_admin(clip: Clip, urls: &FinalUrls) -> Self {
        let source = clip.source_url.expose().to_owned();
        Self { source_url: Some(source), ..Self::new(clip, urls) }
    }
}

/// A generation with its clips.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GenerationRow {
    /// Who generates.
    pub provider: String,
    /// The provider's id of it.
    pub request_id: String,
    /// Where it stands at the provider.
    #[schema(value_type = schemas::GenerationStatus)]
    pub status: GenerationStatus,
    /// The model's endpoint id.
    pub model: Option<String>,
    /// The prompt, unless only its hash is kept.
    pub prompt: Option<String>,
    /// Lower-case hex SHA-256 of the prompt after NFC and trimming.
    pub prompt_hash: Option<String>,
    /// Whose it is.
    pub tenant: Option<String>,
    /// The policy it named itself.
    #[schema(value_type = Option<schemas::Policy>)]
    pub policy: Option<Policy>,
    /// Whether its clips may be fetched without a signature.
    pub public: Option<bool>,
    /// The whole model input.
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Input>,
    /// The seed, exactly: a whole number from -2^63 to 2^64 - 1.
    #[schema(schema_with = seed_schema)]
    pub seed: Option<Seed>,
    /// The provider's words on a failure, or ours on a result that is not understood.
    pub error: Option<String>,
    /// When clipkeep first learned of the clip.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When the provider's terminal word came.
    #[schema(format = DateTime)]
    pub completed_at: Option<String>,
    /// Where its first clip is or will be; while that is not known, as its input
    /// tells, or as an MP4.
    pub final_url: String,
    /// Where its clips are or will be, so far as is known.
    pub final_urls: Vec<String>,
    /// Its clips.
    pub clips: Vec<ClipRow>,
    /// What of its result was not understood, while its status is `unreadable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<UnreadInfo>,
}

/// A result that was not understood.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UnreadInfo {
    /// Who said it.
    pub provider: String,
    /// The provider's id of its generation.
    pub request_id: String,
    /// When it came.
    #[schema(format = DateTime)]
    pub at: String,
    /// How it came: by a `webhook`, or as a `result` that was asked for.
    #[schema(value_type = String, example = "webhook")]
    pub form: Form,
    /// Why it was not understood.
    pub why: String,
    /// How many bytes it had.
    pub bytes: u64,
    /// How many of them are kept; null once they were erased.
    pub kept_bytes: Option<u64>,
    /// What it was, as far as it is kept; of a long one the API gives the first
    /// 256 KiB. Bytes that are no text are replaced. It may hold the provider's
    /// URLs, so it is only in answers to admin tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

impl UnreadInfo {
    /// What is said of one, with what is kept of it.
    pub fn new(row: UnreadRow, payload: Option<&[u8]>) -> Self {
        Self {
            provider: row.provider.into(),
            request_id: row.request_id.into(),
            at: row.at.to_string(),
            form: row.form,
            why: row.why,
            bytes: row.len,
            kept_bytes: row.kept,
            payload: payload.map(|payload| String::from_utf8_lossy(payload).into_owned()),
        }
    }
}

impl GenerationRow {
    /// The row of `generation`, whose clips are `clips`.
    pub fn new(generation: Generation, mut clips: Vec<ClipRow>, urls: &FinalUrls) -> Self {
        // The input stands beside them.
        let repeated = |row: &ClipRow| row.input.as_ref().map_or(0, |input| input.as_str().len());
        if clips.iter().map(repeated).sum::<usize>() > MAX_REPEATED_INPUT {
            clips.iter_mut().for_each(|row| row.input = row.input.take().map(|input| input.omitted()));
        }
        let expected = urls.expected(&generation);
        let first = clips.first().and_then(|clip| clip.final_url.clone());
        let final_urls = match clips.is_empty() {
            true => expected.clone(),
            false => clips.iter().filter_map(|clip| clip.final_url.clone()).collect(),
        };
        Self {
            final_url: first.or_else(|| expected.into_iter().next()).unwrap_or_default(),
            final_urls,
            provider: generation.provider.into(),
            request_id: generation.request_id.into(),
            status: generation.status,
            model: generation.facts.model,
            prompt: generation.facts.prompt,
            prompt_hash: generation.facts.prompt_hash,
            tenant: generation.facts.tenant.map(Into::into),
            policy: generation.facts.policy,
            public: generation.facts.public,
            input: generation.facts.input,
            seed: generation.facts.seed,
            error: generation.error,
            created_at: generation.created_at.to_string(),
            completed_at: generation.completed_at.map(|at| at.to_string()),
            clips,
            unreadable: None,
        }
    }
}

/// What was delivered of one clip, tenant or model, or in one hour, day or month.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UsageRow {
    /// Which one; empty where there is none, and for a total.
    pub name: String,
    /// Viewings of which at least a quarter of the clip was delivered.
    pub plays: u64,
    /// Bytes of clips that were sent to viewers.
    pub viewer_bytes: u64,
    /// Answers with bytes that the node had at hand.
    pub hits: u64,
    /// Answers whose bytes had to be brought: they started a fill or joined one,
    /// or read store or source through.
    pub cold_fetches: u64,
    /// Bytes that were read from sources.
    pub source_bytes: u64,
    /// Viewings that were cut off before they were a play.
    pub aborted_plays: u64,
    /// Milliseconds from a request to its first byte, on average; null if there
    /// was none.
    pub first_byte_ms: Option<f64>,
}

impl UsageRow {
    /// The row of `line`.
    pub fn new(line: UsageLine) -> Self {
        let UsageLine { name, counts } = line;
        let micros = |count: u64| counts.first_byte_micros.checked_div(count);
        Self {
            name,
            plays: counts.plays,
            viewer_bytes: counts.viewer_bytes,
            hits: counts.hits,
            cold_fetches: counts.cold_fetches,
            source_bytes: counts.source_bytes,
            aborted_plays: counts.aborted_plays,
            first_byte_ms: micros(counts.first_bytes)
                .map(|micros| Duration::from_micros(micros).as_secs_f64() * 1000.0),
        }
    }
}
