//! A faithful simulator of fal: queue, direct calls, storage, media host with
//! faults on request, JWKS, signed webhooks. It shares no code with clipkeep: a signer and a verifier
//! that share a bug would pass every test.
//!
//! One listener has the queue at `/queue`, direct calls at `/run`, storage and
//! tokens at `/rest`, uploads at `/upload`, the platform API at `/platform`, the keys at
//! `/.well-known/jwks.json`, and the simulator's own controls at `/_sim`. Calls
//! of any other path are told apart by the `Host` header (`queue.…`, `rest.…`,
//! and direct calls otherwise), as fal's hosts are. The media host has a
//! listener of its own, with `/files`. Replicate's API is at `/replicate`.

mod admin;
mod api;
mod calls;
mod faults;
mod host;
mod input;
mod keys;
mod media;
mod models;
mod outage;
mod pad;
mod platform;
mod queue;
mod record;
mod replicate;
mod rest;
mod run;
mod sender;
mod server;
mod uploads;

pub use calls::Call;
pub use faults::{Fault, Faults, Source};
pub use keys::{Delivery, Signer};
pub use media::Media;
pub use outage::Outage;
pub use record::Recorded;
pub use replicate::{ReplicateFaults, ReplicateSim};
pub use sender::{Retries, Sent, WebhookFaults};
pub use server::{Sim, SimOptions};

/// A body as Python writes JSON: keys sorted, `", "` and `": "` between. fal's
/// webhooks look like this, and whoever re-serialises them before checking the
/// signature is caught out.
pub fn python_json(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            let member = |key: &&String| format!("{}: {}", Value::from(key.as_str()), python_json(&map[key.as_str()]));
            format!("{{{}}}", keys.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(python_json).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn json_looks_as_python_writes_it() {
        let value = json!({"b": [1, null, "x\n"], "a": {"d": 1.5, "c": true}});
        assert_eq!(super::python_json(&value), r#"{"a": {"c": true, "d": 1.5}, "b": [1, null, "x\n"]}"#);
    }
}
