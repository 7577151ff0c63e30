//! Signed links: whatever path and query are asked for, only what was signed verifies.
#![no_main]

use clipkeep_core::{
    link::{Audience, LinkKeys, LinkTarget},
    time::Timestamp,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&str, &str)| {
    let (path, query) = data;
    let now = Timestamp::from_secs(1_790_000_000);
    let key = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let keys = LinkKeys::parse(key, Audience::Public).expect("a sound key");
    let _ = LinkTarget::of_path(path);
    assert!(keys.verify(path, Some(query), now).is_err(), "a link that nobody signed");
});
