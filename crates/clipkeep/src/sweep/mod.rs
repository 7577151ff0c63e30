//! The sweep: what brings rows and objects together again.

pub mod drift;
pub mod retention;
pub mod tombstones;
