//! A view has each byte of its file exactly once, and is found without reading
//! more than it asks for.
#![no_main]

use bytes::Bytes;
use clipkeep_core::view::{Movie, Piece, Scan, View, scan};
use clipkeep_fuzz::{Dice, MAX_MEDIA, boxes};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| {
    let file = Bytes::copy_from_slice(&data[..data.len().min(MAX_MEDIA)]);
    let len = file.len() as u64;
    let Scan::Done(view) = scan(len, |range| {
        Some(file.slice(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?))
    }) else {
        panic!("all bytes are there");
    };
    let View::FastStart(fast) = view else { return };
    let movie = fast.movie();
    let bytes = file.slice(movie.start as usize..movie.end as usize);
    let moved = Movie::moved(&fast, &bytes);
    assert!(moved.is_some_and(|moved| moved.bytes().len() == bytes.len()), "a view that was decided on can be made");
    let total: u64 = fast
        .pieces(&(0..len), len)
        .iter()
        .map(|piece| match piece {
            Piece::File(range) | Piece::Movie(range) => range.end - range.start,
        })
        .sum();
    assert_eq!(total, len);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let max = max_size.min(MAX_MEDIA);
    match Dice::new(seed).below(2) {
        0 => boxes::mutate(&mut data[..max], size, seed),
        _ => fuzzer_mutate(data, size, max),
    }
});
