//! What was asked and what was sent, so that tests can count.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

/// One request to the media host.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// `GET` or `HEAD`.
    pub method: String,
    pub path: String,
    /// All headers, names in lower case.
    pub headers: Vec<(String, String)>,
    pub status: u16,
    sent: Arc<AtomicU64>,
}

impl Recorded {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// How many body bytes were handed to the socket so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<Recorded>>);

impl Log {
    pub(crate) fn add(&self, method: &str, path: &str, headers: Vec<(String, String)>, status: u16) -> Arc<AtomicU64> {
        let sent = Arc::new(AtomicU64::new(0));
        let entry = Recorded { method: method.into(), path: path.into(), headers, status, sent: Arc::clone(&sent) };
        self.0.lock().push(entry);
        sent
    }

    pub(crate) fn all(&self) -> Vec<Recorded> {
        self.0.lock().clone()
    }
}
