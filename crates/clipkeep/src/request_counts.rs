//! Requests to the bucket, counted where they leave, retries too.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What was asked of the bucket since the last look.
#[derive(Debug, Default)]
pub struct RequestCounts {
    writes: AtomicU64,
    reads: AtomicU64,
}

impl RequestCounts {
    /// A request leaves. Deleting costs nothing; what is no object read writes
    /// or lists.
    pub fn count(&self, method: &http::Method, query: Option<&str>) {
        let names = |name: &str| query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with(name)));
        match *method {
            http::Method::DELETE => return,
            http::Method::GET | http::Method::HEAD if !names("list-type=") && !names("uploads") => &self.reads,
            _ => &self.writes,
        }
        .fetch_add(1, Relaxed);
    }

    /// Those that wrote or listed, and those that read, since this was asked.
    pub fn take(&self) -> (u64, u64) {
        (self.writes.swap(0, Relaxed), self.reads.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn reads_and_writes_are_told_apart() {
        let operations = RequestCounts::default();
        for (method, query) in [
            (Method::PUT, Some("partNumber=1&uploadId=x")),
            (Method::POST, Some("uploads")),
            (Method::GET, Some("prefix=a&list-type=2")),
            (Method::GET, Some("uploads=&prefix=a")),
            (Method::GET, None),
            (Method::HEAD, None),
            (Method::DELETE, None),
        ] {
            operations.count(&method, query);
        }
        assert_eq!(operations.take(), (4, 2));
        assert_eq!(operations.take(), (0, 0));
    }
}
