//! What a file is, by what is said of it.

use crate::{
    generation::Kind,
    media_type::{MediaType, essence},
};

/// What is said of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'a> {
    pub(super) content_type: Option<&'a str>,
    /// What it is called, beside its URL.
    pub(super) file_name: Option<&'a str>,
}

/// What a file is, before anybody looked into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Media(&'static MediaType),
    /// Surely none.
    NoMedia,
    /// Only its content can tell.
    Unknown,
}

/// What is said of a file by what its place is called.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) kind: Option<Kind>,
    /// Whether nothing but a file is called so. Then what it is said to be at may
    /// be a page that answers with one.
    pub(super) is_file: bool,
}

impl Place {
    pub(super) fn called(name: &str) -> Self {
        Self { kind: kind_of_slot(name), is_file: is_file_name(name) }
    }
}

/// What a file is, whose URL has this path: by its content type where that tells,
/// else by an ending, else by its place.
pub(super) fn judge(said: Said<'_>, path: &str, place: Place) -> Judged {
    let content_type = said.content_type.map(essence).filter(|name| !name.is_empty());
    let endings = || [Some(path), said.file_name].into_iter().flatten().filter_map(ending);
    let by_ending = endings().find_map(MediaType::by_ending);
    if let Some(name) = content_type.as_deref() {
        if let Some(media) = MediaType::by_name(name) {
            return Judged::Media(media);
        }
        if let Some(kind) = kind_of_type(name) {
            let by_ending = by_ending.filter(|media| media.kind == kind);
            return Judged::Media(by_ending.unwrap_or_else(|| MediaType::default_of(kind)));
        }
    }
    if let Some(media) = by_ending {
        return Judged::Media(media);
    }
    let is_text = content_type.as_deref().is_some_and(is_text_type);
    if is_text || (!place.is_file && endings().any(is_no_media)) {
        return Judged::NoMedia;
    }
    place.kind.map_or(Judged::Unknown, |kind| Judged::Media(MediaType::default_of(kind)))
}

/// The type that a text names: a content type, an ending, or what apps call a
/// format (`mp3_44100_128`, `pcm16`).
pub(super) fn named_type(text: &str) -> Option<&'static MediaType> {
    if text.contains('/') {
        let name = essence(text);
        return MediaType::by_name(&name).or_else(|| kind_of_type(&name).map(MediaType::default_of));
    }
    let word = text.split(['_', '-', ' ']).next().unwrap_or_default();
    let is_raw = ["pcm", "linear16", "s16le"]
        .iter()
        .any(|raw| word.get(..raw.len()).is_some_and(|start| start.eq_ignore_ascii_case(raw)));
    if is_raw { MediaType::by_name("audio/pcm") } else { MediaType::by_ending(word) }
}

/// The ending of the last part of a path.
pub(super) fn ending(path: &str) -> Option<&str> {
    let (_, ending) = path.rsplit('/').next()?.rsplit_once('.')?;
    Some(ending)
}

fn kind_of_type(name: &str) -> Option<Kind> {
    let (top, _) = name.split_once('/')?;
    top.parse().ok()
}

/// Types of what is no media whatever stands in it.
fn is_text_type(name: &str) -> bool {
    const TYPES: &[&str] =
        &["json", "jsonl", "x-ndjson", "xml", "xhtml+xml", "javascript", "pdf", "x-yaml", "yaml", "csv", "x-subrip"];
    name.starts_with("text/") || name.strip_prefix("application/").is_some_and(|name| TYPES.contains(&name))
}

/// Endings of what is no media, though it may be an output.
pub(super) fn is_no_media(ending: &str) -> bool {
    const ENDINGS: &[&str] = &[
        "html",
        "htm",
        "xhtml",
        "json",
        "jsonl",
        "xml",
        "txt",
        "md",
        "csv",
        "tsv",
        "yaml",
        "yml",
        "toml",
        "pdf",
        "srt",
        "vtt",
        "ass",
        "log",
        "js",
        "css",
        "safetensors",
        "ckpt",
        "pt",
        "pth",
        "onnx",
        "gguf",
        "npz",
        "npy",
        "pkl",
        "parquet",
    ];
    ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// Slot names of known models, word by word; the first kind that has any word wins.
pub(super) fn kind_of_slot(name: &str) -> Option<Kind> {
    const NOT_MEDIA: &[&str] = &["zip", "config", "lora", "model", "mesh", "glb"];
    const WORDS: &[(Kind, &[&str])] = &[
        (Kind::Video, &["video", "videos", "movie", "clip", "clips"]),
        (
            Kind::Audio,
            &[
                "audio", "audios", "music", "song", "speech", "voice", "vocals", "drums", "bass", "guitar", "piano",
                "stem", "stems",
            ],
        ),
        (
            Kind::Image,
            &[
                "image",
                "images",
                "img",
                "picture",
                "thumbnail",
                "thumbnails",
                "mask",
                "masks",
                "frame",
                "frames",
                "spritesheet",
                "poster",
                "cover",
                "photo",
            ],
        ),
    ];
    let has = |words: &[&str]| words_of(name).any(|word| words.iter().any(|known| word.eq_ignore_ascii_case(known)));
    if has(NOT_MEDIA) {
        return None;
    }
    WORDS.iter().find(|(_, words)| has(words)).map(|(kind, _)| *kind)
}

/// Slots of these names hold a file, and no word on one.
fn is_file_name(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "video",
        "videos",
        "image",
        "images",
        "audio",
        "audios",
        "movie",
        "movies",
        "clip",
        "clips",
        "music",
        "song",
        "songs",
        "picture",
        "pictures",
        "photo",
        "photos",
        "animation",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a name is that of bytes: `data`, `b64_json`, `audio_base64`,
/// `bytesBase64Encoded`, `audioContent`.
pub(super) fn is_of_bytes(name: &str) -> bool {
    const WORDS: &[&str] = &["data", "bytes", "b64", "base64", "hex", "blob", "buffer", "binary", "encoded"];
    words_of(name).any(|word| WORDS.iter().any(|known| word.eq_ignore_ascii_case(known)))
        || words_of(name).last().is_some_and(|word| word.eq_ignore_ascii_case("content"))
}

/// `maskVideo` and `mask-video` are two words, as `mask_video` is.
pub(super) fn words_of(name: &str) -> impl Iterator<Item = &str> {
    let bytes = name.as_bytes();
    let mut start = 0;
    let humps =
        (1..bytes.len()).filter(move |&at| bytes[at].is_ascii_uppercase() && bytes[at - 1].is_ascii_lowercase());
    let cuts: Vec<usize> = humps.chain([bytes.len()]).collect();
    let pieces = cuts.into_iter().map(move |end| {
        let piece = &name[start..end];
        start = end;
        piece
    });
    pieces.flat_map(|piece| piece.split(['_', '-', ' ', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_into_words() {
        for (name, words) in [
            ("mask_video", "mask video"),
            ("maskVideo-2", "mask Video 2"),
            ("VIDEO", "VIDEO"),
            ("", ""),
            ("é_x", "é x"),
        ] {
            assert_eq!(words_of(name).collect::<Vec<_>>().join(" "), words);
        }
        assert_eq!(kind_of_slot("finalVideo"), Some(Kind::Video));
        assert_eq!((kind_of_slot("model_video"), kind_of_slot("videography")), (None, None));
    }
}
