//! JSON that passes: bytes come out as they went in, however they are cut.
#![no_main]

use clipkeep_core::proxy::{Capture, Copy, Rewriter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&[u8], u8)| {
    let (bytes, cut) = data;
    let chunks = || bytes.chunks(usize::from(cut).max(1));
    let mut passed = Vec::new();
    let mut rewriter = Rewriter::new(|_| None);
    let (mut capture, mut copy) = (Capture::default(), Copy::new(4096));
    for chunk in chunks() {
        rewriter.push(chunk, &mut passed);
        capture.push(chunk);
        copy.push(chunk);
    }
    rewriter.finish(&mut passed);
    assert_eq!(passed, bytes);
    assert_eq!(capture.finish().len, bytes.len() as u64);
    assert!(copy.into_bytes().is_none_or(|copy| copy.len() <= 4096));

    let mut replaced = Vec::new();
    let mut rewriter = Rewriter::new(|text: &str| text.starts_with('h').then(|| "x".to_owned()));
    chunks().for_each(|chunk| rewriter.push(chunk, &mut replaced));
    rewriter.finish(&mut replaced);
});
