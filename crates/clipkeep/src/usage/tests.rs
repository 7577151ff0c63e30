use clipkeep_core::time::Timestamp;
use http::HeaderMap;

use super::*;
use crate::catalog::{
    UsageFilter, UsageGroup,
    open::{Database, Rules, open},
};

struct Hands(Mutex<Timestamp>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

/// A node's usage with a clock that the test moves.
struct Bed {
    usage: Arc<Usage>,
    clock: Arc<Hands>,
    catalog: Arc<dyn Catalog>,
    account: Arc<Account>,
    _folder: tempfile::TempDir,
}

const LEN: u64 = 1_000_000;

impl Bed {
    async fn new(now: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = open(&Database::Sqlite(folder.path().join("c.db")), Rules::default()).await.unwrap();
        let clock = Arc::new(Hands(Mutex::new(now.parse().unwrap())));
        let usage = Usage::new(catalog.clone(), Arc::default(), clock.clone(), Arc::new(Metrics::new()), "n");
        let account = usage.account(&"a.mp4".parse().unwrap(), Some(&"acme".parse().unwrap()));
        Self { usage, clock, catalog, account, _folder: folder }
    }

    fn set(&self, now: &str) {
        *self.clock.0.lock() = now.parse().unwrap();
    }

    /// An answer with `range` of the clip to the viewer with this address.
    fn answer(&self, viewer: u8, range: std::ops::Range<u64>) -> Answer {
        let delivery = Delivery {
            account: &self.account,
            viewer: Viewer { from: [10, 0, 0, viewer].into(), headers: &HeaderMap::new(), link: None },
            place: BytePosition::Range { start: range.start, len: LEN },
            len: Some(range.end - range.start),
            hit: true,
            began: Instant::now(),
        };
        self.usage.deliver(delivery).unwrap()
    }

    /// Sends an answer of which the socket takes only `taken` bytes, in steps;
    /// its head has 300.
    fn send(&self, meter: &Meter, viewer: u8, range: std::ops::Range<u64>, taken: u64) {
        let len = range.end - range.start;
        meter.begin(self.answer(viewer, range), len, true);
        let mut left = 300 + len;
        for step in [300, taken / 3, taken - taken / 3] {
            meter.wrote(left, step);
            left -= step;
        }
    }

    async fn total(&self) -> Counts {
        self.usage.flush().await;
        let all = self.catalog.usage(&UsageFilter::default(), UsageGroup::All, None, 1).await.unwrap();
        all.lines.first().map(|line| line.counts).unwrap_or_default()
    }
}

#[tokio::test]
async fn case_47_what_the_socket_did_not_take_is_not_counted() {
    let bed = Bed::new("2026-01-01T00:00:00Z").await;
    let meter = Meter::default();
    bed.send(&meter, 1, 0..LEN, LEN);
    bed.send(&meter, 1, 0..LEN, 400_000);
    drop(meter);
    let counts = bed.total().await;
    assert_eq!((counts.viewer_bytes, counts.hits, counts.first_bytes), (1_400_000, 2, 2));
    assert_eq!((counts.plays, counts.aborted_plays), (1, 0), "both are one viewing, and it is a play");
}

#[tokio::test]
async fn what_the_connection_carries_beside_clips_is_not_counted() {
    let bed = Bed::new("2026-01-01T00:00:00Z").await;
    let meter = Meter::default();
    meter.wrote(5000, 5000);
    bed.send(&meter, 1, 0..2, 2);
    meter.wrote(700, 200);
    meter.wrote(500, 500);
    bed.send(&meter, 1, 0..1000, 600);
    let counts = bed.total().await;
    assert_eq!((counts.viewer_bytes, counts.plays), (602, 0));
}

#[tokio::test]
async fn an_answer_is_counted_while_it_runs() {
    let bed = Bed::new("2026-01-01T00:00:00Z").await;
    let meter = Meter::default();
    meter.begin(bed.answer(1, 0..LEN), 500_000, false);
    meter.handed(500_000, true);
    meter.wrote(LEN + 300, 300 + 200_000);
    let counts = bed.total().await;
    assert_eq!((counts.viewer_bytes, counts.plays, counts.aborted_plays), (200_000, 0, 0));
    meter.wrote(800_000, 800_000);
    let counts = bed.total().await;
    assert_eq!((counts.viewer_bytes, counts.plays, counts.aborted_plays), (LEN, 1, 0));
}

#[tokio::test]
async fn a_seek_is_no_abort_and_going_away_is_one() {
    let bed = Bed::new("2026-01-01T00:00:00Z").await;
    let (first, second) = (Meter::default(), Meter::default());
    bed.send(&first, 1, 0..LEN, 100_000);
    drop(first);
    // The viewer asks for another place; the judgement waits for that.
    second.begin(bed.answer(1, 500_000..LEN), 0, false);
    bed.usage.viewings.judge(true);
    assert_eq!(bed.total().await.aborted_plays, 0);
    second.handed(500_000, true);
    second.wrote(500_300, 100_300);
    drop(second);
    assert_eq!(bed.total().await.aborted_plays, 1, "he saw a fifth");
    let third = Meter::default();
    bed.send(&third, 1, 100_000..LEN, 1000);
    drop(third);
    assert_eq!(bed.total().await.aborted_plays, 1, "it is the same viewing");
}

#[tokio::test]
async fn case_47_counts_belong_to_the_month_in_which_the_bytes_left() {
    let bed = Bed::new("2026-01-31T23:59:59.100Z").await;
    bed.account.sent(10);
    bed.usage.collect();
    bed.account.sent(5);
    // The look on the hour comes a moment after it.
    bed.set("2026-02-01T00:00:00.002Z");
    bed.usage.collect();
    bed.account.sent(7);
    bed.usage.flush().await;
    let months = bed.catalog.usage(&UsageFilter::default(), UsageGroup::Month, None, 9).await.unwrap();
    let months: Vec<_> = months.lines.iter().map(|line| (line.name.as_str(), line.counts.viewer_bytes)).collect();
    assert_eq!(months, [("2026-01", 15), ("2026-02", 7)]);
}

#[tokio::test]
async fn i07_what_waits_for_the_catalogue_is_bounded() {
    let bed = Bed::new("2026-01-01T00:00:00Z").await;
    for n in 0..MAX_WAITING_ROWS + 10 {
        bed.usage.account(&format!("{n}.mp4").parse().unwrap(), None).sent(1);
    }
    bed.usage.collect();
    assert_eq!(bed.usage.book.lock().waiting.len(), MAX_WAITING_ROWS);
    assert_eq!(bed.total().await.viewer_bytes, MAX_WAITING_ROWS as u64);
}
