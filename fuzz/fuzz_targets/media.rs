//! Whatever a file holds, its media facts are facts or an error: bounded in
//! stack, memory and time.
#![no_main]

use std::io::Cursor;

use bytes::Bytes;
use clipkeep_core::{
    c2pa::is_marked,
    media_type::MediaType,
    probe::{Length, content_type, probe},
    sniff::{Sniffed, sniff},
};
use clipkeep_fuzz::{Dice, MAX_MEDIA, boxes, ebml};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

/// Probed as what it claims to be, and as what it does not.
const TYPES: &[&str] =
    &["video/mp4", "video/webm", "image/heic", "image/jpeg", "image/png", "audio/wav", "audio/flac", "audio/mpeg"];

fuzz_target!(|data: &[u8]| {
    let data = &data[..data.len().min(MAX_MEDIA)];
    let len = data.len() as u64;
    let _ = is_marked(&mut Cursor::new(data), len);
    let length = if data.first().is_some_and(|byte| byte & 1 == 0) { Length::Promised } else { Length::Unknown };
    if let Sniffed::Media(media) = sniff(data) {
        let _ = probe(&mut Cursor::new(data), len, length, media);
    }
    let name = TYPES[data.last().map_or(0, |byte| *byte as usize % TYPES.len())];
    if let Some(media) = MediaType::by_name(name) {
        let _ = probe(&mut Cursor::new(data), len, length, media);
        let _ = content_type(len, media, |range| {
            Some(Bytes::copy_from_slice(&data[range.start as usize..range.end as usize]))
        });
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let max = max_size.min(MAX_MEDIA);
    match Dice::new(seed).below(3) {
        0 => boxes::mutate(&mut data[..max], size, seed),
        1 => ebml::mutate(&mut data[..max], size, seed),
        _ => fuzzer_mutate(data, size, max),
    }
});
