//! This node's quick memory of stored clips: what a viewer needs, without
//! asking the database or opening a file again.

mod disk;
pub mod mmap;
mod read_through;
mod shelf;

pub use disk::{DiskCache, Object};
pub use shelf::{Coming, Shelf, Shelved, Stretch, Where};
