//! Which output comes first: the first one has the generation's main name.

use super::{
    kind::{kind_of_slot, words_of},
    walk::{Found, INPUTS, OF_REQUEST},
};
use crate::{
    generation::{Kind, NewClip},
    id::{ClipKey, RequestId},
    media_type::MediaType,
};

/// What an output is to its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Main,
    /// Whatever its app calls so.
    Other,
    /// What stands beside it: a thumbnail, a mask, what it was made from.
    Beside,
}

/// What models call that which was asked for.
const MAIN: &[&str] = &[
    "video",
    "videos",
    "image",
    "images",
    "audio",
    "audios",
    "output",
    "result",
    "results",
    "file",
    "files",
    "movie",
    "clip",
    "clips",
    "music",
    "song",
    "animation",
    "mesh",
    "glb",
    "model_mesh",
    "model_glb",
];

/// Words in the names of what stands beside it.
const BESIDE: &[&str] = &[
    "mask",
    "masks",
    "thumbnail",
    "thumbnails",
    "thumb",
    "preview",
    "previews",
    "poster",
    "cover",
    "spritesheet",
    "sprite",
    "waveform",
    "spectrogram",
    "depth",
    "control",
    "conditioning",
    "input",
    "inputs",
    "original",
    "source",
    "reference",
    "ref",
    "init",
    "start",
    "first",
    "last",
    "end",
    "tail",
    "before",
    "debug",
    "intermediate",
];

/// The outputs as clips, the main one first: by what they are to the generation,
/// then those of a known kind before others, videos before audio before images,
/// what lies further out, and the order in which they were told.
pub(super) fn numbered(mut found: Vec<Found>, request_id: &RequestId) -> Vec<NewClip> {
    found.sort_by_cached_key(|file| {
        let (role, names) = role(&file.slot);
        // An `audio` that ends in `.mp4` is sound.
        let kind = kind_of_slot(name_of(&file.slot)).or(file.media.map(|media| media.kind));
        (role, file.media.is_none(), kind, names)
    });
    (0..).zip(found).map(|(index, file)| into_clip(file, request_id, index)).collect()
}

/// What a slot is, and within how many named ones it lies.
fn role(slot: &str) -> (Role, usize) {
    let is_name = |part: &&str| !part.is_empty() && !part.bytes().all(|b| b.is_ascii_digit());
    let names: Vec<&str> = parts(slot).filter(is_name).collect();
    let is_beside =
        |name: &&str| words_of(name).any(|word| BESIDE.iter().any(|known| word.eq_ignore_ascii_case(known)));
    let is_told = |name: &&str| OF_REQUEST.contains(name);
    let role = match names.last() {
        _ if names.iter().any(|name| is_beside(name) || is_told(name)) => Role::Beside,
        Some(name) if MAIN.iter().any(|known| bare(name).eq_ignore_ascii_case(known)) => Role::Main,
        // It is the result itself.
        None => Role::Main,
        Some(_) => Role::Other,
    };
    (role, names.len())
}

/// Whether a slot is one of what was put in.
pub(super) fn is_put_in(slot: &str) -> bool {
    parts(slot).any(|part| INPUTS.contains(&part))
}

/// The name of a slot: `/images/0` is `images`, `/video_url` is `video`.
pub(super) fn name_of(slot: &str) -> &str {
    let is_name = |part: &&str| !part.bytes().all(|b| b.is_ascii_digit());
    bare(parts(slot).filter(is_name).last().unwrap_or_default())
}

/// The names in a slot; one that holds slashes is several.
fn parts(slot: &str) -> impl Iterator<Item = &str> {
    slot.split('/').flat_map(|part| part.split("~1"))
}

fn bare(name: &str) -> &str {
    ["_url", "_urls", "_uri", "_file", "Url", "_path"].iter().find_map(|tail| name.strip_suffix(tail)).unwrap_or(name)
}

fn into_clip(file: Found, request_id: &RequestId, index: u32) -> NewClip {
    // What is not known is named as nearly all outputs are; its content decides.
    let media = file.media.unwrap_or_else(|| MediaType::default_of(Kind::Video));
    NewClip {
        key: ClipKey::new(request_id, index, media.ending),
        index,
        slot: file.slot,
        source_url: file.source,
        kind: media.kind,
        content_type: media.name.to_owned(),
        source_expires_at: None,
    }
}
