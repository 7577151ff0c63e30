//! Custody: what disks forget, what is taken for something else, and time.

mod rot;
mod whose;
