//! Ends that are none, and the ways back from those that are.

mod ends;
mod killed;
mod returns;
