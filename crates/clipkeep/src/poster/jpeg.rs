//! What ffmpeg wrote, looked at before anybody else sees it: a JPEG of a size
//! that was asked for; and its thumbhash, a placeholder of some 25 bytes.

use bytes::Bytes;
use data_encoding::BASE64;
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

const WIDEST: usize = 640;
const HIGHEST: usize = 1280;
/// The longest side that a thumbhash is made of.
const SAMPLED: usize = 100;

/// A poster.
pub(super) struct Still {
    pub(super) bytes: Bytes,
    /// Base64, as <https://evanw.github.io/thumbhash/> has it.
    pub(super) thumbhash: String,
}

/// The poster, if these bytes are one.
pub(super) fn read(bytes: Vec<u8>) -> Option<Still> {
    let options = DecoderOptions::new_safe()
        .set_max_width(WIDEST)
        .set_max_height(HIGHEST)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes), options);
    let pixels = decoder.decode().ok()?;
    let (width, height) = decoder.dimensions()?;
    let thumbhash = thumbhash(&pixels, width, height)?;
    Some(Still { bytes: bytes.into(), thumbhash })
}

/// Samples the picture down by the mean of each cell, and hashes that.
fn thumbhash(pixels: &[u8], width: usize, height: usize) -> Option<String> {
    if pixels.len() != width * height * 3 || pixels.is_empty() {
        return None;
    }
    let longest = width.max(height).max(SAMPLED);
    let (columns, rows) = ((width * SAMPLED / longest).max(1), (height * SAMPLED / longest).max(1));
    let mut sampled = Vec::with_capacity(columns * rows * 4);
    for row in 0..rows {
        for column in 0..columns {
            let (ys, xs) = (cell(row, rows, height), cell(column, columns, width));
            let mut sums = [0_usize; 3];
            for y in ys.clone() {
                for pixel in pixels[(y * width + xs.start) * 3..(y * width + xs.end) * 3].chunks_exact(3) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += usize::from(*value));
                }
            }
            let count = ys.len() * xs.len();
            sampled.extend(sums.map(|sum| u8::try_from(sum / count).unwrap_or(u8::MAX)));
            sampled.push(u8::MAX);
        }
    }
    Some(BASE64.encode(&thumbhash::rgba_to_thumb_hash(columns, rows, &sampled)))
}

/// Which of `length` pixels the `nth` of `count` cells covers: one at least.
fn cell(nth: usize, count: usize, length: usize) -> std::ops::Range<usize> {
    let start = nth * length / count;
    start..((nth + 1) * length / count).max(start + 1).min(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_jpeg_of_the_right_size_is_no_poster() {
        assert!(read(Vec::new()).is_none());
        assert!(read(b"<svg onload=alert(1)>".to_vec()).is_none());
        assert!(read(vec![0xff, 0xd8, 0xff, 0xd9]).is_none());
    }

    #[test]
    fn a_placeholder_has_the_pictures_colours() {
        for (width, height) in [(640, 360), (1, 1), (3, 1280), (640, 1), (50, 50)] {
            let red: Vec<u8> = [200, 20, 20].repeat(width * height);
            let hash = BASE64.decode(thumbhash(&red, width, height).unwrap().as_bytes()).unwrap();
            assert!(hash.len() <= 32, "{}", hash.len());
            let (r, g, b, a) = thumbhash::thumb_hash_to_average_rgba(&hash).unwrap();
            assert!(r > 0.7 && g < 0.2 && b < 0.2 && a > 0.9, "{r} {g} {b} {a}");
        }
        assert_eq!(thumbhash(&[], 0, 0), None);
        assert_eq!(thumbhash(&[1, 2, 3], 2, 2), None);
    }
}
