//! Standard Webhooks: who sent it (`verify`), and what it says in the form that
//! docs/hooks.md lays down (`decode`). Other providers sign in the same way, and
//! say it in their own.

mod decode;
mod key;
mod verify;

pub use decode::decode;
pub use key::{NamedKey, WebhookKey, WebhookKeyError};
pub use verify::{SignatureError, SignedHeaders};
