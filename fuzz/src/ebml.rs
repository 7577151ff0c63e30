//! Mutations of Matroska and WebM files (RFC 8794, RFC 9559): elements are
//! nested, repeated, made endless and cut.

use crate::{Dice, replace};

/// Elements with children, with their ids as they are written.
const MASTERS: &[&[u8]] = &[
    b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x11\x4d\x9b\x74", b"\x4d\xbb", b"\x15\x49\xa9\x66",
    b"\x16\x54\xae\x6b", b"\xae", b"\xe0", b"\xe1", b"\x1f\x43\xb6\x75", b"\xa0", b"\x1c\x53\xbb\x6b",
    b"\x6d\x80", b"\x62\x40", b"\x12\x54\xc3\x67",
];

const LEAVES: &[&[u8]] = &[
    b"\xd7", b"\x83", b"\x86", b"\xb0", b"\xba", b"\x44\x89", b"\x2a\xd7\xb1", b"\xe7", b"\xa3", b"\xec",
    b"\x53\xab", b"\x53\xac", b"\x23\xe3\x83", b"\x9f", b"\xb5",
];

/// Sizes as they are written: unknown ones, huge ones, and more bytes than are allowed.
const SIZES: &[&[u8]] = &[
    b"\xff", b"\x01\xff\xff\xff\xff\xff\xff\xff", b"\x80", b"\x00", b"\x08\xff\xff\xff\xff", b"\x10\x00\x00\x00",
    b"\x01\x00\x00\x00\x00\x00\x00\x01", b"\x40\x02",
];

fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
    let mut out = id.to_vec();
    let size = content.len() as u64 | 1 << 56;
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(content);
    out
}

/// Changes one thing about the file's structure; answers its new length.
pub fn mutate(data: &mut [u8], len: usize, seed: u32) -> usize {
    let mut dice = Dice::new(seed);
    let mut bytes = data[..len].to_vec();
    let at = dice.below(len);
    let known: Vec<usize> = (0..len)
        .filter(|at| MASTERS.iter().chain(LEAVES).any(|id| id.len() > 1 && bytes[*at..].starts_with(id)))
        .take(256)
        .collect();
    let at = if known.is_empty() { at } else { dice.pick(&known) };
    match dice.below(4) {
        0 => {
            let times = dice.pick(&[1, 2, 16, 200, 3000]);
            let id = dice.pick(MASTERS);
            let mut inner = bytes.split_off(at);
            for _ in 0..times {
                if at + inner.len() + 12 > data.len() {
                    break;
                }
                inner = element(id, &inner);
            }
            bytes.extend(inner);
        }
        1 => {
            let leaf = element(dice.pick(LEAVES), &vec![0xff; dice.below(16)]);
            let room = (data.len() - len) / leaf.len();
            let times = (dice.pick(&[1, 100, 100_000])).min(room);
            bytes.splice(at..at, leaf.repeat(times));
        }
        2 => {
            let after = (at + 4).min(bytes.len());
            let size = dice.pick(SIZES);
            let end = (after + size.len()).min(bytes.len());
            bytes.splice(after..end, size.iter().copied());
        }
        _ => bytes.truncate(at.max(1)),
    }
    replace(data, len, &bytes)
}
