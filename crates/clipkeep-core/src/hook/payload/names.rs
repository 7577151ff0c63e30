//! Outputs that are told of a generation of which something is known: which of
//! them are its own input, and which clip each one is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{order::is_put_in, source_text};
use crate::{
    generation::{Clip, NewClip},
    id::{ClipKey, RequestId},
};

/// The outputs of a generation under the names that they have: each one's own,
/// whoever tells of it, in whatever order, by whichever version.
///
/// What stands in the `input` is no output beside others. A URL that is known is its clip's;
/// a slot that is known, with the same sort of file, is its clip's, which another
/// URL replaces; all else is named as it was told, or by the next free number. A
/// clip whose bytes gave it another name is known by the one it was told under, too.
pub fn named(told: &[NewClip], known: &[&Clip], input: Option<&Value>, request_id: &RequestId) -> Vec<NewClip> {
    let echoes = input.map(urls_of).unwrap_or_default();
    let is_new = |clip: &&NewClip| !echoes.contains(clip.source_url.expose());
    let made: Vec<&NewClip> = told.iter().filter(is_new).collect();
    // A result that is its input, and nothing else, is the result all the same.
    let returned = || told.iter().filter(|clip| !is_put_in(&clip.slot)).collect();
    let told: Vec<&NewClip> = if made.is_empty() { returned() } else { made };
    let mut names: Vec<Option<(ClipKey, u32)>> = vec![None; told.len()];
    let same_url = |new: &NewClip, clip: &Clip| new.source_url == clip.source_url;
    let same_slot = |new: &NewClip, clip: &Clip| {
        let is_ending = |key: &ClipKey| key.ending() == new.key.ending();
        new.slot == clip.slot && (is_ending(&clip.key) || is_ending(clip.first_key()))
    };
    claim(&mut names, &told, known, same_url);
    claim(&mut names, &told, known, same_slot);
    // In order, so that the main one has the first name that is left.
    for (at, new) in told.iter().enumerate().filter(|(at, _)| names[*at].is_none()).collect::<Vec<_>>() {
        let name = free(new, (at, &names), known, request_id);
        names[at] = Some(name);
    }
    let renamed = |(new, name): (&NewClip, Option<(ClipKey, u32)>)| {
        let (key, index) = name.unwrap_or_else(|| (new.key.clone(), new.index));
        NewClip { key, index, ..new.clone() }
    };
    told.into_iter().zip(names).map(renamed).collect()
}

/// Gives outputs without a name that of the clip which they are.
fn claim(
    names: &mut [Option<(ClipKey, u32)>],
    told: &[&NewClip],
    known: &[&Clip],
    is_it: impl Fn(&NewClip, &Clip) -> bool,
) {
    for (at, new) in told.iter().enumerate() {
        if names[at].is_some() {
            continue;
        }
        let is_free = |clip: &&&Clip| !names.iter().flatten().any(|(key, _)| *key == clip.key);
        let clip = known.iter().filter(|clip| is_it(new, clip)).find(is_free);
        names[at] = clip.map(|clip| (clip.key.clone(), clip.index));
    }
}

/// The name that an output has by its place (or that its clip has by now), unless
/// another has it; then the next one that nobody has or had.
fn free(
    new: &NewClip,
    (at, names): (usize, &[Option<(ClipKey, u32)>]),
    known: &[&Clip],
    request_id: &RequestId,
) -> (ClipKey, u32) {
    let place = u32::try_from(at).unwrap_or(u32::MAX);
    let named = |index| ClipKey::new(request_id, index, new.key.ending());
    let is_given = |key: &ClipKey| names.iter().flatten().any(|(given, _)| given == key);
    let own = called(known, named(place));
    if !is_given(&own) {
        return (own, place);
    }
    let is_known = |key: &ClipKey| known.iter().any(|clip| clip.key == *key || clip.first_key() == key);
    let index = (0..).find(|&index| !is_given(&named(index)) && !is_known(&named(index))).unwrap_or(place);
    (named(index), index)
}

/// What the clip is called that was told under this name, if one was.
fn called(known: &[&Clip], told: ClipKey) -> ClipKey {
    let is_it = |clip: &&&Clip| clip.was_key.as_ref() == Some(&told);
    known.iter().find(is_it).map_or(told, |clip| clip.key.clone())
}

/// All URLs within an input, written as sources are.
pub(super) fn urls_of(input: &Value) -> BTreeSet<String> {
    let (mut urls, mut left) = (BTreeSet::new(), vec![input]);
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => {
                let url = source_text(text);
                if url.contains("://") {
                    urls.insert(url.into_owned());
                }
            }
            Value::Array(values) => left.extend(values),
            Value::Object(members) => left.extend(members.values()),
            _ => {}
        }
    }
    urls
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{media_type::MediaType, secret::SourceUrl};

    fn new(index: u32, slot: &str, url: &str) -> NewClip {
        let media = MediaType::by_ending(url.rsplit('.').next().unwrap()).unwrap();
        NewClip {
            key: ClipKey::new(&"r".parse().unwrap(), index, media.ending),
            index,
            slot: slot.to_owned(),
            source_url: SourceUrl::new(url),
            kind: media.kind,
            content_type: media.name.to_owned(),
            source_expires_at: None,
        }
    }

    fn clip(index: u32, slot: &str, url: &str) -> Clip {
        let NewClip { key, index, slot, source_url, kind, content_type, .. } = new(index, slot, url);
        Clip {
            key,
            index,
            slot,
            source_url,
            kind,
            content_type,
            ..crate::history::tests::clip(crate::state::ClipState::Waiting, None)
        }
    }

    fn check(told: &[NewClip], known: &[Clip], input: Value, expected: &[&str]) {
        let known: Vec<&Clip> = known.iter().collect();
        let named = named(told, &known, Some(&input), &"r".parse().unwrap());
        let named: Vec<String> = named.iter().map(|clip| format!("{} {}", clip.key, clip.slot)).collect();
        assert_eq!(named, expected);
    }

    #[test]
    fn k12_an_echoed_input_is_no_output_and_takes_no_name() {
        let told = [
            new(0, "/video", "https://h/v.mp4"),
            new(1, "/image", "https://h/in%20put.png"),
            new(2, "/still", "https://h/s.png"),
        ];
        let input = json!({"images": [{"url": " https://h/in put.png"}], "strength": 1});
        check(&told, &[], input, &["r.mp4 /video", "r.1.png /still"]);
        check(&told, &[], json!(null), &["r.mp4 /video", "r.1.png /image", "r.2.png /still"]);
    }

    #[test]
    fn k12_a_clip_keeps_the_name_that_an_older_numbering_gave_it() {
        let known = [clip(0, "/mask_video", "https://h/m.mp4"), clip(1, "/video", "https://h/v.mp4")];
        let told = [new(0, "/video", "https://h/v.mp4"), new(1, "/mask_video", "https://h/m.mp4")];
        check(&told, &known, json!({}), &["r.1.mp4 /video", "r.mp4 /mask_video"]);
        // The provider ran it again.
        let again = [new(0, "/video", "https://h/v2.mp4"), new(1, "/mask_video", "https://h/m2.mp4")];
        check(&again, &known, json!({}), &["r.1.mp4 /video", "r.mp4 /mask_video"]);
        // What that version did not see is named by what is left.
        let more = [new(0, "/final", "https://h/f.mp4"), told[0].clone(), told[1].clone()];
        check(&more, &known, json!({}), &["r.2.mp4 /final", "r.1.mp4 /video", "r.mp4 /mask_video"]);
    }

    #[test]
    fn k13_a_clip_whose_bytes_gave_it_another_name_is_known_by_both() {
        let renamed = Clip {
            key: "r.mp4".parse().unwrap(),
            was_key: Some("r.png".parse().unwrap()),
            ..clip(0, "/image", "https://h/a.png")
        };
        let known = [renamed];
        let again = |slot, url| new(0, slot, url);
        for told in [
            again("/image", "https://h/a.png"),
            again("/elsewhere", "https://h/a.png"),
            again("/image", "https://h/b.png"),
            again("/image", "https://h/b.mp4"),
            again("/elsewhere", "https://h/b.png"),
        ] {
            let slot = told.slot.clone();
            check(&[told], &known, json!({}), &[&format!("r.mp4 {slot}")]);
        }
        // Another output beside it gets neither name.
        let both = [again("/mask", "https://h/m.png"), again("/image", "https://h/a.png")];
        check(&both, &known, json!({}), &["r.1.png /mask", "r.mp4 /image"]);
    }

    #[test]
    fn an_output_may_take_the_place_of_what_was_awaited_under_its_name() {
        let known = [clip(0, "/imports/0a/1", "https://h/old.mp4")];
        check(&[new(0, "/video", "https://h/v.mp4")], &known, json!({}), &["r.mp4 /video"]);
    }
}
