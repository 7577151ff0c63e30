//! Custody: what disks forget, what is taken for something else, and time.

mod anothers;
mod rot;
mod whose;
