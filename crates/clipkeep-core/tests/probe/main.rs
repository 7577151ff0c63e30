//! The probe against the real ffprobe, on clips made by the real ffmpeg, and
//! against files that are cut, broken or mutated. Both programs must be there.

#![expect(clippy::unwrap_used, reason = "tests")]

mod facts;
mod formats;
mod hostile;
mod nested;
mod support;
mod tolerance;
mod view;
