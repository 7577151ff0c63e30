//! Webhook bodies and hook URLs' queries of each provider.
#![no_main]

use bytes::Bytes;
use clipkeep_core::{
    hook::{HookQuery, fal, jwks, replicate, standard},
    time::Timestamp,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let at = Timestamp::from_secs(1_790_000_000);
    let (query, body) = data.split_at(data.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1));
    let query = std::str::from_utf8(query).ok().and_then(|query| HookQuery::parse(query.trim_end()).ok());
    let query = query.unwrap_or_default();
    let said = Bytes::copy_from_slice(body);
    let _ = fal::decode(&said, None, &query, at);
    let _ = fal::decode(&said, Some("r"), &query, at);
    let _ = fal::fetched(&"r".parse().expect("an id"), 200, &said, at);
    let _ = fal::status_stage(200, body);
    let _ = fal::result_stage(200, body);
    let _ = replicate::decode(&said, &query, at);
    let _ = standard::decode(&said, None, &query, at);
    let _ = jwks::parse(body);
});
