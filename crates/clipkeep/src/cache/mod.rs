//! This node's quick memory of stored clips: what a viewer needs, without
//! asking the database or opening a file again.

pub mod mmap;
mod shelf;

pub use shelf::{Coming, Shelf, Shelved, Stretch, Where};
