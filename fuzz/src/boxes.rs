//! Mutations of ISO base media files (ISO/IEC 14496-12): boxes are nested,
//! repeated, renamed, resized and cut, with sizes that mostly stay true.

use std::ops::Range;

use crate::{Dice, replace};

/// Boxes whose content is boxes, and how many bytes stand before the first one.
const CONTAINERS: &[(&[u8; 4], usize)] = &[
    (b"moov", 0), (b"trak", 0), (b"mdia", 0), (b"minf", 0), (b"stbl", 0), (b"edts", 0), (b"dinf", 0),
    (b"udta", 0), (b"mvex", 0), (b"moof", 0), (b"traf", 0), (b"meta", 4), (b"ilst", 0), (b"iprp", 0),
    (b"ipco", 0), (b"dref", 8), (b"stsd", 8), (b"avc1", 78), (b"hvc1", 78), (b"av01", 78), (b"vp09", 78),
    (b"encv", 78), (b"mp4a", 28), (b"enca", 28), (b"Opus", 28), (b"wave", 0), (b"sinf", 0), (b"schi", 0),
];

const LEAVES: &[&[u8; 4]] = &[
    b"ftyp", b"free", b"mdat", b"mvhd", b"tkhd", b"mdhd", b"hdlr", b"vmhd", b"smhd", b"stts", b"ctts",
    b"stsc", b"stsz", b"stz2", b"stco", b"co64", b"elst", b"trun", b"tfhd", b"tfdt", b"mfhd", b"sidx",
    b"mfra", b"uuid", b"iloc", b"iinf", b"ispe", b"avcC", b"hvcC", b"av1C", b"esds", b"dOps", b"saio",
];

/// Where boxes stand, found without recursion and never more than 4,096 of them.
fn boxes(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open = vec![0..bytes.len()];
    while let Some(within) = open.pop() {
        let mut at = within.start;
        while at + 8 <= within.end && found.len() < 4096 {
            let size = u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
            let end = if size == 0 { within.end } else { at.saturating_add(size) };
            if size != 0 && size < 8 || end > within.end {
                break;
            }
            found.push(at..end);
            let kind = &bytes[at + 4..at + 8];
            if let Some((_, skip)) = CONTAINERS.iter().find(|(name, _)| name[..] == *kind) {
                if at + 8 + skip < end {
                    open.push(at + 8 + skip..end);
                }
            }
            at = end;
        }
    }
    found
}

fn wrapped(kind: &[u8; 4], skip: usize, content: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(8 + skip + content.len()).unwrap_or(0).to_be_bytes().to_vec();
    out.extend_from_slice(kind);
    out.resize(out.len() + skip, 0);
    out.extend_from_slice(content);
    out
}

/// Adds `change` to the sizes of all boxes around `at`.
fn resize_around(bytes: &mut [u8], all: &[Range<usize>], at: &Range<usize>, change: i64) {
    for around in all.iter().filter(|b| b.start <= at.start && at.end <= b.end && *b != at) {
        let size = &mut bytes[around.start..around.start + 4];
        let old = i64::from(u32::from_be_bytes([size[0], size[1], size[2], size[3]]));
        size.copy_from_slice(&u32::try_from(old + change).unwrap_or(0).to_be_bytes());
    }
}

/// Changes one thing about the file's structure; answers its new length.
pub fn mutate(data: &mut [u8], len: usize, seed: u32) -> usize {
    let mut dice = Dice::new(seed);
    let mut bytes = data[..len].to_vec();
    let all = boxes(&bytes);
    if all.is_empty() {
        return len;
    }
    let chosen = all[dice.below(all.len())].clone();
    let content = bytes[chosen.clone()].to_vec();
    let new = match dice.below(7) {
        // A wrong size: nothing, too little, one of 64 bits, too much.
        0 => {
            let size = dice.pick(&[0u32, 1, 7, 8, u32::MAX, content.len() as u32 + 1, content.len() as u32 / 2]);
            bytes[chosen.start..chosen.start + 4].copy_from_slice(&size.to_be_bytes());
            return replace(data, len, &bytes);
        }
        1 => {
            let leaf = dice.pick(LEAVES);
            bytes[chosen.start + 4..chosen.start + 8].copy_from_slice(leaf);
            return replace(data, len, &bytes);
        }
        // Nested, perhaps very deeply.
        2 | 3 => {
            let times = dice.pick(&[1, 2, 16, 200, 3000]);
            let (kind, skip) = dice.pick(CONTAINERS);
            let mut new = content;
            for _ in 0..times {
                if new.len() + 8 + skip + len > data.len() {
                    break;
                }
                new = wrapped(kind, skip, &new);
            }
            new
        }
        // Repeated, perhaps very often.
        4 => {
            let room = (data.len() - len) / content.len().max(1);
            content.repeat(1 + (dice.pick(&[1, 2, 100, 100_000])).min(room))
        }
        5 => Vec::new(),
        // A count within it that promises much.
        _ => {
            let mut new = content;
            if new.len() >= 16 {
                let at = 8 + dice.below(new.len() - 12);
                let count = dice.pick(&[0u32, 1, 0xffff, 0x7fff_ffff, u32::MAX]);
                new[at..at + 4].copy_from_slice(&count.to_be_bytes());
            }
            new
        }
    };
    let change = new.len() as i64 - (chosen.end - chosen.start) as i64;
    resize_around(&mut bytes, &all, &chosen, change);
    bytes.splice(chosen, new);
    replace(data, len, &bytes)
}
