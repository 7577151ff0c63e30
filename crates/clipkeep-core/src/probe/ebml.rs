//! EBML, the binary language that Matroska is written in (RFC 8794).

/// An element's id, its size (None: unknown) and the length of both.
pub(super) fn element_head(head: &[u8]) -> Option<(u32, Option<u64>, u64)> {
    let id_len = vint_len(*head.first()?)?;
    let id = big_endian(head.get(..id_len)?);
    let rest = &head[id_len..];
    let size_len = vint_len(*rest.first()?)?;
    let all_ones = u64::MAX >> (64 - 7 * size_len);
    let size = big_endian(rest.get(..size_len)?) & all_ones;
    let size = Some(size).filter(|size| *size != all_ones);
    // Longer ids than Matroska's are allowed, and none of ours.
    Some((u32::try_from(id).unwrap_or(0), size, (id_len + size_len) as u64))
}

/// The length that a variable-size integer's first byte tells.
pub(super) fn vint_len(first: u8) -> Option<usize> {
    let zeros = first.leading_zeros() as usize;
    (zeros < 8).then_some(zeros + 1)
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}
