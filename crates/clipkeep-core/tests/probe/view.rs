//! Fast start views of real files, beside what ffmpeg's own tools make of them.

use std::{fs, ops::Range, path::Path};

use bytes::Bytes;
use clipkeep_core::view::{Movie, Piece, Scan, View, scan};

use crate::support::{make, run};

fn render(file: &Bytes) -> Option<Vec<u8>> {
    let slice = |range: &Range<u64>| file.slice(range.start as usize..range.end as usize);
    let len = file.len() as u64;
    let Scan::Done(View::FastStart(fast)) = scan(len, |range| Some(slice(&range))) else { return None };
    let movie = Movie::moved(&fast, &slice(&fast.movie())).unwrap();
    let bytes = |piece| match piece {
        Piece::File(range) => slice(&range),
        Piece::Movie(range) => movie.bytes().slice(range.start as usize..range.end as usize),
    };
    Some(fast.pieces(&(0..len), len).into_iter().flat_map(bytes).collect())
}

/// A hash of every decoded frame, sound and picture.
fn frames(path: &Path) -> String {
    let out = run("ffmpeg", &["-v", "error", "-i", path.to_str().unwrap(), "-f", "framemd5", "-"]);
    let text = String::from_utf8(out).unwrap();
    assert!(text.lines().filter(|line| !line.starts_with('#')).count() > 20, "{text}");
    text
}

#[test]
fn a_view_decodes_to_the_same_frames_and_equals_what_qt_faststart_makes() {
    for (name, options) in [
        ("a.mp4", "-c:v libx264 -c:a aac"),
        ("b.mov", "-c:v libx264 -c:a pcm_s16le"),
        ("c.mp4", "-c:v libx264 -an -movflags +write_colr"),
        ("d.m4a", "-vn -c:a aac"),
    ] {
        let (dir, path) = make(name, options);
        let view = render(&fs::read(&path).unwrap().into()).unwrap_or_else(|| panic!("{name} has a view"));
        let (moved, theirs) = (dir.path().join(format!("view-{name}")), dir.path().join(format!("theirs-{name}")));
        fs::write(&moved, &view).unwrap();
        assert_eq!(frames(&moved), frames(&path), "{name}");
        run("qt-faststart", &[path.to_str().unwrap(), theirs.to_str().unwrap()]);
        assert!(fs::read(theirs).unwrap() == view, "{name}");
        assert_eq!(render(&view.into()), None, "a view of a view is the view");
    }
}

#[test]
fn what_starts_fast_already_or_is_fragmented_stays_as_it_is() {
    for options in ["-c:v libx264 -c:a aac -movflags +faststart", "-c:v libx264 -movflags +frag_keyframe+empty_moov"] {
        let (_dir, path) = make("a.mp4", options);
        assert_eq!(render(&fs::read(path).unwrap().into()), None, "{options}");
    }
}

/// K26: the issue's own file, and another that players read by other rules.
#[test]
fn k26_a_nested_box_without_a_length_is_never_half_shifted() {
    let odd: &[u8] = include_bytes!("media/nested-box-size-0.mp4");
    assert_eq!(render(&odd.to_vec().into()), None);
    let (_dir, path) = make("a.mp4", "-c:v libx264 -c:a aac");
    let even = fs::read(path).unwrap();
    assert!(render(&even.clone().into()).is_some());
    for kind in [b"mdia", b"edts", b"dinf", b"stsd", b"udta"] {
        let mut open = even.clone();
        let at = open.windows(4).position(|name| name == kind).unwrap() - 4;
        open[at..at + 4].fill(0);
        assert_eq!(render(&open.into()), None, "{}", kind.escape_ascii());
    }
}
