//! This node's quick memory of stored clips: what a viewer needs, without
//! asking the database or opening a file again.

mod disk;
mod memory;
pub mod mmap;
mod read_through;

pub use disk::{DiskCache, Object};
pub use memory::{ByteSource, FillingCopy, MemoryCache, Segment, ServableClip};
