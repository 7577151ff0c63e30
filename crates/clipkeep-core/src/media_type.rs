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
    /// Whether its files say nothing of what they are: only their sender does.
    pub is_unmarked: bool,
}

const fn row(name: &'static str, ending: &'static str, kind: Kind) -> MediaType {
    MediaType { name, ending, kind, is_unmarked: false }
}

/// A format without a signature, or one whose players search for its first frame.
const fn unmarked(name: &'static str, ending: &'static str, kind: Kind) -> MediaType {
    MediaType { name, ending, kind, is_unmarked: true }
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
    row("video/3gpp", "3gp", Kind::Video),
    row("video/3gpp2", "3g2", Kind::Video),
    row("video/mp2t", "ts", Kind::Video),
    row("video/mpeg", "mpg", Kind::Video),
    row("video/x-ms-wmv", "wmv", Kind::Video),
    row("video/mj2", "mj2", Kind::Video),
    row("video/h264", "h264", Kind::Video),
    row("video/h265", "h265", Kind::Video),
    row("video/x-ivf", "ivf", Kind::Video),
    row("video/x-yuv4mpeg", "y4m", Kind::Video),
    row("video/x-nut", "nut", Kind::Video),
    row("video/vnd.rn-realvideo", "rm", Kind::Video),
    row("video/x-motion-jpeg", "mjpeg", Kind::Video),
    row("application/mxf", "mxf", Kind::Video),
    row("video/dv", "dv", Kind::Video),
    unmarked("audio/mpeg", "mp3", Kind::Audio),
    row("audio/wav", "wav", Kind::Audio),
    row("audio/ogg", "ogg", Kind::Audio),
    row("audio/flac", "flac", Kind::Audio),
    row("audio/mp4", "m4a", Kind::Audio),
    unmarked("audio/aac", "aac", Kind::Audio),
    row("audio/webm", "weba", Kind::Audio),
    row("audio/aiff", "aiff", Kind::Audio),
    row("audio/x-caf", "caf", Kind::Audio),
    unmarked("audio/ac3", "ac3", Kind::Audio),
    unmarked("audio/eac3", "eac3", Kind::Audio),
    row("audio/amr", "amr", Kind::Audio),
    row("audio/amr-wb", "awb", Kind::Audio),
    row("audio/x-ms-wma", "wma", Kind::Audio),
    row("audio/x-matroska", "mka", Kind::Audio),
    unmarked("audio/basic", "au", Kind::Audio),
    unmarked("audio/l16", "l16", Kind::Audio),
    unmarked("audio/pcm", "pcm", Kind::Audio),
    row("audio/x-w64", "w64", Kind::Audio),
    row("audio/x-wavpack", "wv", Kind::Audio),
    row("audio/x-tta", "tta", Kind::Audio),
    row("audio/x-ape", "ape", Kind::Audio),
    row("audio/x-musepack", "mpc", Kind::Audio),
    row("audio/x-dsf", "dsf", Kind::Audio),
    row("audio/x-voc", "voc", Kind::Audio),
    row("audio/midi", "mid", Kind::Audio),
    row("audio/vnd.dts", "dts", Kind::Audio),
    row("image/png", "png", Kind::Image),
    row("image/jpeg", "jpg", Kind::Image),
    row("image/webp", "webp", Kind::Image),
    row("image/gif", "gif", Kind::Image),
    row("image/avif", "avif", Kind::Image),
    row("image/heic", "heic", Kind::Image),
    row("image/bmp", "bmp", Kind::Image),
    row("image/svg+xml", "svg", Kind::Image),
    row("image/tiff", "tif", Kind::Image),
    row("image/jxl", "jxl", Kind::Image),
    row("image/x-exr", "exr", Kind::Image),
    row("image/vnd.radiance", "hdr", Kind::Image),
    row("image/vnd.microsoft.icon", "ico", Kind::Image),
    row("image/vnd.adobe.photoshop", "psd", Kind::Image),
    row("image/jp2", "jp2", Kind::Image),
    row("image/j2c", "j2c", Kind::Image),
    row("image/jls", "jls", Kind::Image),
    row("image/qoi", "qoi", Kind::Image),
    row("image/x-portable-anymap", "pnm", Kind::Image),
    row("image/x-dpx", "dpx", Kind::Image),
    row("image/vnd-ms.dds", "dds", Kind::Image),
    row("image/ktx2", "ktx2", Kind::Image),
    row("image/x-sgi", "sgi", Kind::Image),
    row("image/fits", "fits", Kind::Image),
    unmarked("image/x-tga", "tga", Kind::Image),
    row("model/gltf-binary", "glb", Kind::Model),
    row("model/gltf+json", "gltf", Kind::Model),
    row("model/vnd.usdz+zip", "usdz", Kind::Model),
    row("model/vnd.usda", "usda", Kind::Model),
    row("model/vnd.usd", "usd", Kind::Model),
    row("model/obj", "obj", Kind::Model),
    row("model/mtl", "mtl", Kind::Model),
    unmarked("model/stl", "stl", Kind::Model),
    row("model/3mf", "3mf", Kind::Model),
    row("model/ply", "ply", Kind::Model),
    row("model/fbx", "fbx", Kind::Model),
    row("model/vnd.collada+xml", "dae", Kind::Model),
    row("model/spz", "spz", Kind::Model),
    unmarked("model/splat", "splat", Kind::Model),
    unmarked("model/ksplat", "ksplat", Kind::Model),
    row("model/vnd.blender", "blend", Kind::Model),
    row("application/zip", "zip", Kind::Archive),
];

/// Names in use beside the registered ones.
const NAME_ALIASES: &[(&str, &str)] = &[
    ("application/mp4", "video/mp4"),
    ("video/x-m4v", "video/mp4"),
    ("video/avi", "video/x-msvideo"),
    ("video/vnd.avi", "video/x-msvideo"),
    ("video/matroska", "video/x-matroska"),
    ("application/ogg", "video/ogg"),
    ("video/mp1s", "video/mpeg"),
    ("video/mp2p", "video/mpeg"),
    ("video/vnd.dlna.mpeg-tts", "video/mp2t"),
    ("video/x-ms-asf", "video/x-ms-wmv"),
    ("application/vnd.ms-asf", "video/x-ms-wmv"),
    ("video/avc", "video/h264"),
    ("video/hevc", "video/h265"),
    ("video/mjpeg", "video/x-motion-jpeg"),
    ("video/x-mjpeg", "video/x-motion-jpeg"),
    ("audio/mp3", "audio/mpeg"),
    ("audio/x-mp3", "audio/mpeg"),
    ("audio/x-mpeg", "audio/mpeg"),
    ("audio/mp2", "audio/mpeg"),
    ("audio/x-wav", "audio/wav"),
    ("audio/wave", "audio/wav"),
    ("audio/vnd.wave", "audio/wav"),
    ("audio/opus", "audio/ogg"),
    ("audio/vorbis", "audio/ogg"),
    ("audio/x-flac", "audio/flac"),
    ("audio/m4a", "audio/mp4"),
    ("audio/x-m4a", "audio/mp4"),
    ("audio/aacp", "audio/aac"),
    ("audio/x-aac", "audio/aac"),
    ("audio/x-aiff", "audio/aiff"),
    ("audio/aifc", "audio/aiff"),
    ("audio/caf", "audio/x-caf"),
    ("audio/vnd.dolby.dd-raw", "audio/ac3"),
    ("audio/3gpp", "video/3gpp"),
    ("audio/matroska", "audio/x-matroska"),
    ("audio/au", "audio/basic"),
    ("audio/x-au", "audio/basic"),
    ("audio/mulaw", "audio/basic"),
    ("audio/pcmu", "audio/basic"),
    ("audio/l8", "audio/pcm"),
    ("audio/l20", "audio/pcm"),
    ("audio/l24", "audio/pcm"),
    ("audio/pcma", "audio/pcm"),
    ("audio/alaw", "audio/pcm"),
    ("audio/x-pcm", "audio/pcm"),
    ("audio/x-raw", "audio/pcm"),
    ("audio/raw", "audio/pcm"),
    ("audio/wavpack", "audio/x-wavpack"),
    ("audio/x-midi", "audio/midi"),
    ("audio/mid", "audio/midi"),
    ("audio/sp-midi", "audio/midi"),
    ("image/jpg", "image/jpeg"),
    ("image/pjpeg", "image/jpeg"),
    ("image/apng", "image/png"),
    ("image/vnd.mozilla.apng", "image/png"),
    ("image/heif", "image/heic"),
    ("image/x-ms-bmp", "image/bmp"),
    ("image/x-bmp", "image/bmp"),
    ("image/svg", "image/svg+xml"),
    ("image/tif", "image/tiff"),
    ("image/x-tiff", "image/tiff"),
    ("image/exr", "image/x-exr"),
    ("image/aces", "image/x-exr"),
    ("image/x-hdr", "image/vnd.radiance"),
    ("image/hdr", "image/vnd.radiance"),
    ("image/x-icon", "image/vnd.microsoft.icon"),
    ("image/x-psd", "image/vnd.adobe.photoshop"),
    ("image/jpx", "image/jp2"),
    ("image/x-qoi", "image/qoi"),
    ("image/x-portable-bitmap", "image/x-portable-anymap"),
    ("image/x-portable-graymap", "image/x-portable-anymap"),
    ("image/x-portable-pixmap", "image/x-portable-anymap"),
    ("image/tga", "image/x-tga"),
    ("image/x-targa", "image/x-tga"),
    ("image/x-dds", "image/vnd-ms.dds"),
    ("model/glb", "model/gltf-binary"),
    ("model/gltf", "model/gltf+json"),
    ("model/usd", "model/vnd.usd"),
    ("model/usda", "model/vnd.usda"),
    ("model/usdz", "model/vnd.usdz+zip"),
    ("model/vnd.pixar.usd", "model/vnd.usdz+zip"),
    ("application/vnd.usdz+zip", "model/vnd.usdz+zip"),
    ("model/x-stl-ascii", "model/stl"),
    ("model/x-stl-binary", "model/stl"),
    ("application/sla", "model/stl"),
    ("application/vnd.ms-package.3dmanufacturing-3dmodel+xml", "model/3mf"),
    ("model/x-ply", "model/ply"),
    ("application/x-ply", "model/ply"),
    ("model/x-fbx", "model/fbx"),
    ("model/vnd.fbx", "model/fbx"),
    ("application/vnd.autodesk.fbx", "model/fbx"),
    ("application/x-zip-compressed", "application/zip"),
    ("application/x-zip", "application/zip"),
];

const ENDING_ALIASES: &[(&str, &str)] = &[
    ("m4v", "mp4"),
    ("f4v", "mp4"),
    ("qt", "mov"),
    ("mts", "ts"),
    ("m2ts", "ts"),
    ("mpeg", "mpg"),
    ("m2v", "mpg"),
    ("vob", "mpg"),
    ("asf", "wmv"),
    ("264", "h264"),
    ("hevc", "h265"),
    ("265", "h265"),
    ("mjpg", "mjpeg"),
    ("mp2", "mp3"),
    ("mpga", "mp3"),
    ("opus", "ogg"),
    ("oga", "ogg"),
    ("spx", "ogg"),
    ("aif", "aiff"),
    ("aifc", "aiff"),
    ("snd", "au"),
    ("ulaw", "au"),
    ("s16le", "pcm"),
    ("midi", "mid"),
    ("jpeg", "jpg"),
    ("jpe", "jpg"),
    ("jfif", "jpg"),
    ("apng", "png"),
    ("heif", "heic"),
    ("hif", "heic"),
    ("dib", "bmp"),
    ("tiff", "tif"),
    ("rgbe", "hdr"),
    ("jpx", "jp2"),
    ("jpf", "jp2"),
    ("j2k", "j2c"),
    ("jpc", "j2c"),
    ("pbm", "pnm"),
    ("pgm", "pnm"),
    ("ppm", "pnm"),
    ("pam", "pnm"),
    ("pfm", "pnm"),
    ("fit", "fits"),
    ("usdc", "usd"),
];

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
            let of_kind = media.name.starts_with(media.kind.as_str()) || media.name.starts_with("application/");
            assert!(of_kind, "{}", media.name);
            assert!(media.name.bytes().all(|b| !b.is_ascii_uppercase()), "{}", media.name);
        }
    }

    #[test]
    fn aliases_lead_into_the_table() {
        for (alias, name) in NAME_ALIASES {
            assert!(TABLE.iter().all(|media| media.name != *alias), "{alias}");
            assert_eq!(MediaType::by_name(alias).map(|media| media.name), Some(*name));
        }
        for (alias, ending) in ENDING_ALIASES {
            assert!(TABLE.iter().all(|media| media.ending != *alias), "{alias}");
            assert_eq!(MediaType::by_ending(alias).map(|media| media.ending), Some(*ending));
        }
    }

    #[test]
    fn case_and_parameters_do_not_matter() {
        assert_eq!(MediaType::by_name("Video/MP4; codecs=\"avc1\"").unwrap().ending, "mp4");
        assert_eq!(MediaType::by_name("audio/L16;rate=24000;channels=1").unwrap().ending, "l16");
        assert_eq!(MediaType::by_ending("JPEG").unwrap().name, "image/jpeg");
        assert_eq!(MediaType::by_name("application/octet-stream"), None);
    }

    #[test]
    fn each_kind_has_a_default() {
        let endings = Kind::ALL.iter().map(|&kind| MediaType::default_of(kind).ending);
        assert_eq!(endings.collect::<Vec<_>>(), ["mp4", "mp3", "png", "glb", "zip"]);
    }
}
