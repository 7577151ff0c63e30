//! The records every layer speaks: generations, clips and what is known of them.

use std::{sync::Arc, time::Duration};

use crate::{
    hook::Unread,
    id::{ClipKey, Provider, RequestId, Tenant},
    input::Input,
    media_type::MediaType,
    policy::Policy,
    secret::SourceUrl,
    seed::Seed,
    state::{ClipState, GenerationStatus, text_enum},
    time::Timestamp,
    version::SourceVersion,
    view::View,
};

text_enum! {
    /// What sort of media a clip is.
    Kind {
        /// Moving pictures.
        Video = "video",
        /// Sound alone.
        Audio = "audio",
        /// One picture, still or animated.
        Image = "image",
        /// A shape in three dimensions.
        Model = "model",
        /// Several files packed into one.
        Archive = "archive",
    }
}

/// What may be said of a generation, by the hook URL's query or by registering
/// it. Each field is kept from whoever said it first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The model's endpoint id, such as `fal-ai/veo3`.
    pub model: Option<String>,
    /// The prompt's text. Absent under `hash_only`.
    pub prompt: Option<String>,
    /// See [`crate::prompt::prompt_hash`].
    pub prompt_hash: Option<String>,
    pub tenant: Option<Tenant>,
    /// What triggers the fill of its clips.
    pub policy: Option<Policy>,
    pub input: Option<Input>,
    /// The seed, of the input or of the result.
    pub seed: Option<Seed>,
    /// Whether its clips may be fetched without a signature.
    pub public: Option<bool>,
}

impl Facts {
    /// These, with what they lack from others. A prompt's text is taken only
    /// along with its own hash.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        let mut merged = Self {
            model: self.model.or(others.model),
            tenant: self.tenant.or(others.tenant),
            policy: self.policy.or(others.policy),
            input: self.input.or(others.input),
            seed: self.seed.or(others.seed),
            public: self.public.or(others.public),
            ..self
        };
        let fits = merged.prompt_hash.is_none() || merged.prompt_hash == others.prompt_hash;
        if merged.prompt.is_none() && fits {
            merged.prompt = others.prompt;
            merged.prompt_hash = others.prompt_hash.or(merged.prompt_hash);
        }
        merged
    }
}

impl Facts {
    /// How many bytes their long texts have.
    pub fn text_len(&self) -> usize {
        let input = self.input.as_ref().map_or(0, |input| input.as_str().len());
        input + self.prompt.as_ref().map_or(0, String::len)
    }
}

/// One request to a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    pub provider: Provider,
    /// The provider's id of it.
    pub request_id: RequestId,
    pub status: GenerationStatus,
    /// What is known of it.
    pub facts: Facts,
    /// The provider's words on a failure.
    pub error: Option<String>,
    /// When we first heard of it.
    pub created_at: Timestamp,
    /// When the provider's terminal word reached us.
    pub completed_at: Option<Timestamp>,
    /// When the provider is asked for it, while no terminal word came.
    pub poll_at: Option<Timestamp>,
}

/// One media file that a webhook announced.
#[derive(Clone, Debug, PartialEq)]
pub struct NewClip {
    pub key: ClipKey,
    /// Its place among its generation's clips, from 0.
    pub index: u32,
    /// Where it stood in the payload: a JSON pointer such as `/video`.
    pub slot: String,
    /// Where the provider keeps it.
    pub source_url: SourceUrl,
    /// What it is said to be.
    pub kind: Kind,
    /// Its media type as far as known; the fill decides by content.
    pub content_type: String,
    /// When the source is expected to vanish, where known.
    pub source_expires_at: Option<Timestamp>,
}

/// Who brought word of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A webhook of the provider's.
    Webhook,
    /// The provider itself, when it was asked.
    Poll,
    /// The provider itself, when the app asked through our proxy.
    Proxy,
    /// A line of a table that was imported.
    Import,
    /// An object in our own store, there or awaited.
    Store,
    /// A result that was kept, and is understood by now.
    Reread,
    /// Nobody: it is given up.
    Nobody,
}

/// What a hook URL's query tells. Providers sign the body alone, so whoever saw
/// a webhook can send it again to another URL: the catalogue believes this of
/// the delivery that ends the generation, where nobody better said otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hearsay {
    pub facts: Facts,
    /// How long the sources of its clips live.
    pub source_lifetime: Option<Duration>,
}

/// A verified webhook, ready to be committed.
#[derive(Clone, Debug, PartialEq)]
pub struct HookRecord {
    pub provider: Provider,
    /// The generation it speaks of.
    pub request_id: RequestId,
    pub status: GenerationStatus,
    /// The provider's words on a failure, or on a missing result.
    pub error: Option<String>,
    /// What is told by whoever may be believed: what the provider signed or
    /// answered, or our own caller said.
    pub facts: Facts,
    /// What the hook URL's query tells.
    pub hearsay: Hearsay,
    /// The media files of the payload.
    pub clips: Vec<NewClip>,
    /// What of it was not understood, if something was.
    pub unread: Option<Arc<Unread>>,
    pub received_at: Timestamp,
    /// When it was made, where that was longer ago and somebody says so.
    pub created_at: Option<Timestamp>,
    pub origin: Origin,
}

impl HookRecord {
    /// The same, with what its hook URL's query tells. That goes over what the
    /// body tells, except for whose it is and who may see it: those the
    /// signature decides.
    #[must_use]
    pub fn believed(mut self) -> Self {
        let Hearsay { facts: heard, source_lifetime } = std::mem::take(&mut self.hearsay);
        let signed = std::mem::take(&mut self.facts);
        let (tenant, public) = (signed.tenant.clone().or(heard.tenant.clone()), signed.public.or(heard.public));
        self.facts = Facts { tenant, public, ..heard.or(signed) };
        self.with_source_lifetime(source_lifetime)
    }

    /// The same for sources that live so long, where that is known of them.
    #[must_use]
    pub fn with_source_lifetime(mut self, lifetime: Option<Duration>) -> Self {
        let made_at = self.created_at.unwrap_or(self.received_at);
        if let Some(lifetime) = lifetime {
            for clip in &mut self.clips {
                clip.source_expires_at.get_or_insert(made_at.plus(lifetime));
            }
        }
        self
    }
}

/// What the fill learned of a clip by reading all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    /// Bytes.
    pub size: u64,
    /// Lower-case hex SHA-256 of the source's bytes.
    pub sha256: String,
    /// Media facts read from the content.
    pub media: MediaInfo,
}

/// Media facts read from the content.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaInfo {
    pub kind: Kind,
    /// The media type by content, such as `video/mp4`.
    pub content_type: String,
    /// Seconds.
    pub duration: Option<f64>,
    /// Pixels, as displayed.
    pub width: Option<u32>,
    /// Pixels, as displayed.
    pub height: Option<u32>,
    /// Frames per second.
    pub fps: Option<f64>,
    /// The RFC 6381 codec string of the main track, such as `avc1.64001f`.
    pub codec: Option<String>,
    /// Whether the bytes carry a C2PA manifest, once that was looked at.
    pub c2pa: Option<bool>,
}

impl MediaInfo {
    /// Facts that hold nothing but the media type yet.
    pub fn of(media: &MediaType) -> Self {
        Self {
            kind: media.kind,
            content_type: media.name.to_owned(),
            duration: None,
            width: None,
            height: None,
            fps: None,
            codec: None,
            c2pa: None,
        }
    }
}

/// A clip's row: everything known of one media file.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    pub key: ClipKey,
    /// The name under which it was announced, where its bytes gave it another.
    pub was_key: Option<ClipKey>,
    pub provider: Provider,
    /// The generation it came from.
    pub request_id: RequestId,
    /// Its place among its generation's clips, from 0.
    pub index: u32,
    /// Where it stood in the payload.
    pub slot: String,
    pub state: ClipState,
    pub policy: Policy,
    /// Where the provider keeps it.
    pub source_url: SourceUrl,
    /// When the source is expected to vanish, where known.
    pub source_expires_at: Option<Timestamp>,
    /// What is known of its generation (model, prompt, tenant, input, seed).
    pub facts: Facts,
    /// What it is; by the webhook's word until it is stored.
    pub kind: Kind,
    /// Its media type; by the webhook's word until it is stored.
    pub content_type: String,
    /// What the fill learned; there from the moment all bytes were read.
    pub sealed: Option<Sealed>,
    /// The content epoch: its ETag comes from it. A new source version raises it.
    pub epoch: i64,
    /// When we first heard of it.
    pub created_at: Timestamp,
    /// When it became `stored`.
    pub stored_at: Option<Timestamp>,
    /// When its fill is due without a viewer.
    pub due_at: Option<Timestamp>,
    /// How often a fill was started.
    pub attempts: u32,
    /// Which version of the source its content epoch is, once one was seen.
    pub version: Option<SourceVersion>,
    /// In which order its bytes are served, once that is decided.
    pub view: Option<View>,
    /// The media type that its viewers were told before all of it was seen, if
    /// they were told one.
    pub served_type: Option<String>,
    /// How often the source answered without giving the clip.
    pub misses: u32,
    /// How many of its attempts in a row ended without an answer.
    pub vanished: u32,
    /// How often the same news brought it back since its source was announced.
    pub returned: u32,
    /// Why the last fill failed, in words without a source URL.
    pub last_error: Option<String>,
    /// When it started over: its object was gone, or its source another one.
    pub restarted_at: Option<Timestamp>,
    /// When its stored bytes were last read and found to be what they should.
    pub verified_at: Option<Timestamp>,
    /// How often all of its links were revoked. Links of a lower generation are
    /// refused.
    pub link_generation: u32,
    /// The clip under whose key its stored bytes are; none is its own.
    pub object_key: Option<ClipKey>,
    /// Its still, once it is stored.
    pub poster: Poster,
}

/// What is known of a clip's still.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Poster {
    /// Nobody tried to make one of these bytes.
    #[default]
    Untried,
    /// There can be none.
    None,
    /// It is in the store.
    Made {
        /// A placeholder for it, as base64.
        thumbhash: String,
    },
}

impl Clip {
    /// Since when its bytes are being sought.
    pub fn sought_since(&self) -> Timestamp {
        self.restarted_at.unwrap_or(self.created_at)
    }

    /// The name under which it was announced, which it may have yet. What must
    /// outlast another name goes by this one: its ETags, its local copy.
    pub fn first_key(&self) -> &ClipKey {
        self.was_key.as_ref().unwrap_or(&self.key)
    }

    /// Under which key its stored bytes are.
    pub fn object(&self) -> &ClipKey {
        self.object_key.as_ref().unwrap_or(&self.key)
    }
}

impl Clip {
    /// Why it is at risk, in words.
    pub fn risk(&self) -> String {
        match self.source_expires_at {
            Some(expires) => format!("its only copy is the provider's, which is expected to vanish at {expires}"),
            None => "its only copy is the provider's".to_owned(),
        }
    }
}

/// One line of a clip's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    pub at: Timestamp,
    /// What happened: a stable word such as `stored`.
    pub event: String,
    /// More, in plain words.
    pub detail: Option<String>,
    /// How many bytes it is about: read from the source in the attempt that it
    /// ends, or of the object that it seals.
    pub bytes: Option<u64>,
}
