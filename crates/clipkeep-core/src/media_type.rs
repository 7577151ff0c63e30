//! The media types clipkeep keeps: name, file ending and kind, in one table.

use crate::generation::Kind;

/// One media type that a clip can be.
#[derive(Debug, PartialEq, Eq)]
pub struct MediaType {
    /// The registered name, such as `video/mp4`.
    pub name: &'static str,
    /// The file ending of its clips' keys, without the dot.
    pub ending: &'static str,
    /// What sort of media it is.
    pub kind: Kind,
}

const fn row(name: &'static str, ending: &'static str, kind: Kind) -> MediaType {
    MediaType { name, ending, kind }
}

/// Within a kind, the first row is what a clip is taken for when nothing tells.
static TABLE: &[MediaType] = &[
    row("video/mp4", "mp4", Kind::Video),
    row("video/webm", "webm", Kind::Video),
    row("video/quicktime", "mov", Kind::Video),
    row("video/x-matroska", "mkv", Kind::Video),
    row("video/ogg", "ogv", Kind::Video),
    row("video/x-msvideo", "avi", Kind::Video),
    row("video/x-flv", "flv", Kind::Video),
    row("audio/mpeg", "mp3", Kind::Audio),
    row("audio/wav", "wav", Kind::Audio),
    row("audio/ogg", "ogg", Kind::Audio),
    row("audio/flac", "flac", Kind::Audio),
    row("audio/mp4", "m4a", Kind::Audio),
    row("audio/aac", "aac", Kind::Audio),
    row("audio/webm", "weba", Kind::Audio),
    row("image/png", "png", Kind::Image),
    row("image/jpeg", "jpg", Kind::Image),
    row("image/webp", "webp", Kind::Image),
    row("image/gif", "gif", Kind::Image),
    row("image/avif", "avif", Kind::Image),
    row("image/heic", "heic", Kind::Image),
    row("image/bmp", "bmp", Kind::Image),
];

/// Names in use beside the registered ones.
const NAME_ALIASES: &[(&str, &str)] = &[
    ("video/x-m4v", "video/mp4"),
    ("video/avi", "video/x-msvideo"),
    ("video/matroska", "video/x-matroska"),
    ("audio/mp3", "audio/mpeg"),
    ("audio/x-wav", "audio/wav"),
    ("audio/wave", "audio/wav"),
    ("audio/vnd.wave", "audio/wav"),
    ("audio/opus", "audio/ogg"),
    ("audio/x-flac", "audio/flac"),
    ("audio/m4a", "audio/mp4"),
    ("audio/x-m4a", "audio/mp4"),
    ("audio/x-aac", "audio/aac"),
    ("image/jpg", "image/jpeg"),
    ("image/heif", "image/heic"),
];

const ENDING_ALIASES: &[(&str, &str)] =
    &[("m4v", "mp4"), ("qt", "mov"), ("opus", "ogg"), ("oga", "ogg"), ("jpeg", "jpg"), ("heif", "heic")];

impl MediaType {
    /// The media type of a `Content-Type` value, whatever its case and
    /// parameters; common misnomers are understood.
    pub fn by_name(content_type: &str) -> Option<&'static Self> {
        let name = essence(content_type);
        let name = resolve(NAME_ALIASES, &name);
        TABLE.iter().find(|media| media.name == name)
    }

    /// The media type of files with this ending (without the dot).
    pub fn by_ending(ending: &str) -> Option<&'static Self> {
        let ending = ending.to_ascii_lowercase();
        let ending = resolve(ENDING_ALIASES, &ending);
        TABLE.iter().find(|media| media.ending == ending)
    }

    /// What a clip of this kind is taken for when nothing tells more.
    pub fn default_of(kind: Kind) -> &'static Self {
        TABLE.iter().find(|media| media.kind == kind).expect("the table has every kind")
    }

    /// The table's row of this exact name.
    pub(crate) fn known(name: &'static str) -> &'static Self {
        Self::by_name(name).expect("the name is in the table")
    }
}

/// A `Content-Type` value without its parameters, in lower case.
pub(crate) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn resolve<'a>(aliases: &[(&'static str, &'static str)], name: &'a str) -> &'a str {
    aliases.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_endings_lead_to_the_same_row() {
        for media in TABLE {
            assert_eq!(MediaType::by_name(media.name), Some(media));
            assert_eq!(MediaType::by_ending(media.ending), Some(media));
            assert!(media.name.starts_with(media.kind.as_str()));
        }
    }

    #[test]
    fn aliases_lead_into_the_table() {
        for (alias, name) in NAME_ALIASES {
            assert_eq!(MediaType::by_name(alias).map(|media| media.name), Some(*name));
        }
        for (alias, ending) in ENDING_ALIASES {
            assert_eq!(MediaType::by_ending(alias).map(|media| media.ending), Some(*ending));
        }
    }

    #[test]
    fn case_and_parameters_do_not_matter() {
        assert_eq!(MediaType::by_name("Video/MP4; codecs=\"avc1\"").unwrap().ending, "mp4");
        assert_eq!(MediaType::by_ending("JPEG").unwrap().name, "image/jpeg");
        assert_eq!(MediaType::by_name("application/octet-stream"), None);
    }

    #[test]
    fn each_kind_has_a_default() {
        let endings = Kind::ALL.iter().map(|&kind| MediaType::default_of(kind).ending);
        assert_eq!(endings.collect::<Vec<_>>(), ["mp4", "mp3", "png"]);
    }
}
