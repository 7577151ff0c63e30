//! The one choice of cryptography for TLS: ring, process-wide.
//!
//! The HTTP clients are built without a provider of their own, so that the
//! binary carries one implementation and not two.

use rustls::crypto::{CryptoProvider, ring};

/// Makes ring the process's TLS cryptography, unless one is chosen already.
/// Every place that builds an HTTP client calls this first; calling it again
/// costs nothing.
pub fn choose_ring() {
    if CryptoProvider::get_default().is_none() {
        // Losing the race to another caller of this function is as good.
        let _ = ring::default_provider().install_default();
    }
}

/// The start of every HTTP client: TLS by ring, the system's trusted roots.
pub fn client_builder() -> reqwest::ClientBuilder {
    choose_ring();
    reqwest::Client::builder()
}
