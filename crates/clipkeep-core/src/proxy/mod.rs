//! What passes on its way to the provider and back: which calls may pass, what
//! is learned of them, and what is put in place of what.
//!
//! Pure: bodies come in pieces and leave in pieces, of any length, at a memory
//! that does not grow with them. Nothing here sends.

mod capture;
mod copy;
mod follow;
mod headers;
mod rewrite;
mod scan;
mod sse;
mod submit;
mod target;
#[cfg(test)]
mod tests;

pub use capture::{Capture, Captured};
pub use copy::{Copy, OMITTED};
pub use follow::FollowUrls;
pub use headers::{TARGET_HEADER, TENANT_HEADER, lifetime, reply_headers, request_headers};
pub use rewrite::Rewriter;
pub use scan::{Piece, Scanner};
pub use sse::{Event, Events, SseRewriter};
pub use submit::{Submitted, with_own_webhook, with_webhook};
pub use target::{Call, FalHost, Target, TargetError};
