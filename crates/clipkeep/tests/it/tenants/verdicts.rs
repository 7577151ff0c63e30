//! What each operation of the API is to answer to whom. An operation that is
//! not listed fails the walk: whoever adds one says here what tenants get.

/// What tenants get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody is asked for a token.
    Open,
    /// Only admins get in; tenants are told so (403).
    AdminOnly,
    /// It is about the one row that its path names: another's is answered as if
    /// it were unknown (404), and nothing happens to it.
    Row,
    /// It lists: each caller gets its own rows.
    List,
    /// It writes them all: each caller gets its own rows.
    Export,
    /// It streams: each caller gets its own events.
    Stream,
    /// It registers: see `register.rs`.
    Register,
    /// It passes calls on to fal: whose they are is for `proxy/` to test.
    Fal,
    /// It is about what its body names: whose that is `audience/` tests.
    Named,
    /// It adds up: each caller's own clips alone.
    Usage,
}

use Verdict::{AdminOnly, Export, Fal, List, Named, Open, Register, Row, Stream, Usage};

/// All operations.
pub(super) const VERDICTS: &[(&str, &str, Verdict)] = &[
    ("post", "/hooks/fal", Open),
    ("post", "/hooks/replicate", Open),
    ("post", "/hooks/standard", Open),
    ("get", "/fal/proxy", Fal),
    ("post", "/fal/proxy", Fal),
    ("put", "/fal/proxy", Fal),
    ("get", "/v/{key}", Open),
    ("get", "/p/{key}.jpg", Open),
    ("get", "/i/{key}", Open),
    ("get", "/w/{key}", Open),
    ("get", "/oembed", Open),
    ("post", "/api/v1/generations", Register),
    ("get", "/api/v1/generations/{request_id}", Row),
    ("get", "/api/v1/clips", List),
    ("get", "/api/v1/clips/duplicates", List),
    ("get", "/api/v1/clips/export", Export),
    ("get", "/api/v1/clips/{key}/lineage", Row),
    ("get", "/api/v1/clips/{key}", Row),
    ("delete", "/api/v1/clips/{key}", Row),
    ("get", "/api/v1/clips/{key}/history", Row),
    ("post", "/api/v1/clips/{key}/fill", Row),
    ("post", "/api/v1/clips/{key}/links", Row),
    ("post", "/api/v1/clips/{key}/links/revoke", Row),
    ("post", "/api/v1/links/revoke", Named),
    ("get", "/api/v1/clips/{key}/receipt", Row),
    ("get", "/.well-known/clipkeep-receipts.json", Open),
    ("get", "/api/v1/at-risk", List),
    ("get", "/api/v1/events", Stream),
    ("get", "/api/v1/usage", Usage),
    ("get", "/api/v1/costs", Usage),
    ("get", "/api/v1/tokens", AdminOnly),
    ("post", "/api/v1/tokens", AdminOnly),
    ("delete", "/api/v1/tokens/{id}", AdminOnly),
    ("get", "/healthz", Open),
    ("get", "/readyz", Open),
    ("get", "/metrics", Open),
];
