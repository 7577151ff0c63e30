//! What a clip is to be called, by its bytes.

use crate::{
    generation::{Clip, MediaInfo},
    id::ClipKey,
    media_type::MediaType,
};

/// The name that its bytes give a clip, if that is not the one it has. `container`
/// is what they were taken for at first sight, `media` what they are: an MP4
/// without pictures may be called either.
pub fn right(clip: &Clip, container: &MediaType, media: &MediaInfo) -> Option<ClipKey> {
    let right = MediaType::by_name(&media.content_type)?;
    let named = MediaType::by_ending(clip.key.ending());
    if named.is_some_and(|named| named == right || named == container) {
        return None;
    }
    // A name of another form was somebody else's choice.
    let is_ours = clip.key.parts().is_some_and(|(id, index)| (&id, index) == (&clip.request_id, clip.index));
    is_ours.then(|| ClipKey::new(&clip.request_id, clip.index, right.ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ClipState;

    #[test]
    fn k13_a_name_is_right_that_fits_the_container_or_what_is_in_it() {
        let right = |key: &str, container: &str, content_type: &str| {
            let media = MediaType::by_name(content_type).unwrap();
            let key = key.parse().unwrap();
            let clip = Clip { key, ..crate::history::tests::clip(ClipState::Filling, None) };
            super::right(&clip, MediaType::by_name(container).unwrap(), &MediaInfo::of(media)).map(String::from)
        };
        assert_eq!(right("r.png", "video/mp4", "video/mp4").as_deref(), Some("r.mp4"));
        assert_eq!(right("r.png", "video/mp4", "audio/mp4").as_deref(), Some("r.m4a"));
        assert_eq!(right("r.xyz", "video/webm", "video/webm").as_deref(), Some("r.webm"));
        for (key, container, content_type) in [
            ("r.mp4", "video/mp4", "video/mp4"),
            ("r.mp4", "video/mp4", "audio/mp4"),
            ("r.m4a", "video/mp4", "audio/mp4"),
            ("r.weba", "video/webm", "audio/webm"),
            ("r.jpeg", "image/jpeg", "image/jpeg"),
            // Not as we name clips: another index, or another generation.
            ("r.1.png", "video/mp4", "video/mp4"),
            ("other.png", "video/mp4", "video/mp4"),
        ] {
            assert_eq!(right(key, container, content_type), None, "{key} {content_type}");
        }
    }
}
