//! Shapes: checked for being what they say, where any text might say it.

use std::io::{Read, Seek, SeekFrom};

use serde::Deserialize;

use super::{ProbeError, Result, read_up_to};
use crate::{generation::MediaInfo, media_type::MediaType};

/// glTF's JSON: its `asset` names a version, which no error message does.
pub(super) fn gltf<R: Read + Seek>(reader: &mut R, media: &'static MediaType) -> Result<MediaInfo> {
    #[derive(Deserialize)]
    struct Scene {
        asset: Asset,
    }
    #[derive(Deserialize)]
    struct Asset {
        #[serde(rename = "version")]
        _version: String,
    }
    let bom = if read_up_to(reader, 0, 3)? == b"\xef\xbb\xbf" { 3 } else { 0 };
    reader.seek(SeekFrom::Start(bom))?;
    match serde_json::from_reader::<_, Scene>(reader) {
        Ok(Scene { asset: Asset { .. } }) => Ok(MediaInfo::of(media)),
        Err(error) if error.is_io() => Err(ProbeError::Io(error.into())),
        Err(error) if error.is_eof() => Err(ProbeError::Truncated),
        Err(_) => Err(ProbeError::Malformed("no glTF scene")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn d20_a_scene_behind_a_byte_order_mark_is_one() {
        let media = MediaType::by_name("model/gltf+json").unwrap();
        let scene = "{\"asset\": {\"version\": \"2.0\"}}";
        for text in [scene.to_owned(), format!("\u{feff}{scene}")] {
            assert!(gltf(&mut Cursor::new(text.as_bytes()), media).is_ok(), "{text}");
        }
        assert!(gltf(&mut Cursor::new(b"{\"asset\": {}}"), media).is_err());
    }
}
