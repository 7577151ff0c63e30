//! A configuration is read or refused, in words.
#![no_main]

use clipkeep_core::config::{Config, Layers};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    if let Err(errors) = Config::from_layers(Layers::new().with_file("clipkeep.toml", data)) {
        assert!(!errors.to_string().is_empty());
    }
});
