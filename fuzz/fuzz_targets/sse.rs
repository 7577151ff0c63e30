//! Streams of events that pass: all events and the rest are the stream.
#![no_main]

use clipkeep_core::proxy::{Event, Events, SseRewriter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&[u8], u8)| {
    let (bytes, cut) = data;
    let mut events = Events::new(64);
    let (mut parts, mut passed) = (Vec::new(), Vec::new());
    let mut rewriter = SseRewriter::new(|_| None);
    for chunk in bytes.chunks(usize::from(cut).max(1)) {
        events.push(chunk, &mut |event| match event {
            Event::Whole { raw, .. } | Event::Part(raw) => parts.extend_from_slice(&raw),
        });
        rewriter.push(chunk, &mut passed);
    }
    rewriter.finish(&mut passed);
    parts.extend_from_slice(&events.into_rest());
    assert_eq!(parts, bytes);
    assert_eq!(passed, bytes);
});
