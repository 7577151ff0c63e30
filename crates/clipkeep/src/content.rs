//! Tells what a clip is by its content, wherever its bytes are.

use std::ops::Range;

use bytes::Bytes;
use clipkeep_core::{
    media_type::MediaType,
    sniff::{Sniffed, Sniffer},
};

use crate::faststart::ReadAt;

/// What a clip is whose sender calls it `declared`, and its first bytes, which
/// are looked at first; what is further in only where they tell nothing. `len` is
/// its length where known.
pub async fn sniff<L: ReadAt>(clip: &mut L, len: Option<u64>, declared: &str) -> Result<(Sniffed, Bytes), L::Error> {
    let mut sniffer = Sniffer::new(MediaType::by_name(declared));
    let mut head = None;
    loop {
        let Range { start, end } = sniffer.range();
        let end = len.map_or(end, |len| end.min(len));
        let bytes = if start < end { clip.read_at(start..end).await? } else { Bytes::new() };
        let told = sniffer.see(&bytes);
        let head = head.get_or_insert(bytes);
        if let Some(told) = told {
            return Ok((told, head.clone()));
        }
    }
}
