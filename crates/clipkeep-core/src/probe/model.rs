//! Shapes: checked for being what they say, where any text might say it.

use std::io::Read;

use serde::Deserialize;

use super::{ProbeError, Result};
use crate::{generation::MediaInfo, media_type::MediaType};

/// glTF's JSON: its `asset` names a version, which no error message does.
pub(super) fn gltf<R: Read>(reader: &mut R, media: &'static MediaType) -> Result<MediaInfo> {
    #[derive(Deserialize)]
    struct Scene {
        asset: Asset,
    }
    #[derive(Deserialize)]
    struct Asset {
        #[serde(rename = "version")]
        _version: String,
    }
    match serde_json::from_reader::<_, Scene>(reader) {
        Ok(Scene { asset: Asset { .. } }) => Ok(MediaInfo::of(media)),
        Err(error) if error.is_io() => Err(ProbeError::Io(error.into())),
        Err(error) if error.is_eof() => Err(ProbeError::Truncated),
        Err(_) => Err(ProbeError::Malformed("no glTF scene")),
    }
}
