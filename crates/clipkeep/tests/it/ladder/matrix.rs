//! The ladder as a matrix: range support × validators × connections × uses ×
//! length told × dies midway, with a cold viewer and without.

use clipkeep_core::state::ClipState;
use fal_sim::{Fault, Faults, Media, Source};
use futures_util::StreamExt;

use crate::{
    matrix::{Broken, Gets, Status, Whole, gets},
    support::app::TestApp,
};

const LEN: u64 = 400_000;
/// So slow that the `moov` at the end is asked for beside the first answer.
const RATE: u64 = 250_000;
const AT_ONCE: usize = 48;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ranges {
    Served,
    Ignored,
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Validators {
    Strong,
    Alternate,
    PerAnswer,
    DatesVary,
    None,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    number: usize,
    ranges: Ranges,
    validators: Validators,
    one_connection: bool,
    works_once: bool,
    untold: bool,
    dies: bool,
    viewer: bool,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for ranges in [Ranges::Served, Ranges::Ignored, Ranges::Refused] {
        use Validators::{Alternate, DatesVary, None, PerAnswer, Strong};
        for validators in [Strong, Alternate, PerAnswer, DatesVary, None] {
            for bits in 0..32 {
                let bit = |at: u32| bits & (1 << at) != 0;
                let row = Row {
                    number: rows.len(),
                    ranges,
                    validators,
                    one_connection: bit(0),
                    works_once: bit(1),
                    untold: bit(2),
                    dies: bit(3),
                    viewer: bit(4),
                };
                // What breaks off at a URL that worked once cannot be had any more.
                if !(row.works_once && row.dies) {
                    rows.push(row);
                }
            }
        }
    }
    rows
}

impl Row {
    fn faults(&self) -> Faults {
        let refusals = [400, 403, 405, 416, 501];
        let fault = Fault {
            rate: self.viewer.then_some(RATE),
            no_ranges: self.ranges == Ranges::Ignored,
            range_status: (self.ranges == Ranges::Refused).then_some(refusals[self.number % refusals.len()]),
            chunked: self.untold,
            etag: matches!(self.validators, Validators::DatesVary | Validators::None).then(String::new),
            no_last_modified: self.validators == Validators::None,
            ..Fault::default()
        };
        let first = self.dies.then(|| Fault { cut_at: Some(LEN / 2), ..fault.clone() });
        Faults { first: first.into_iter().collect(), then: fault }
    }

    fn source(&self) -> Source {
        let text = |all: [&str; 2]| all.map(str::to_owned).to_vec();
        let refusals = [403, 429, 503, 0];
        Source {
            connections: self.one_connection.then_some(1),
            uses: self.works_once.then_some(1),
            refusal: Some(refusals[self.number % refusals.len()]),
            etags: if self.validators == Validators::Alternate { text(["\"a\"", "\"b\""]) } else { Vec::new() },
            dates: if self.validators == Validators::DatesVary {
                text(["Mon, 03 Aug 2026 10:00:00 GMT", "Mon, 03 Aug 2026 10:00:01 GMT"])
            } else {
                Vec::new()
            },
            etag_per_answer: self.validators == Validators::PerAnswer,
            ..Source::default()
        }
    }

    /// Whether what broke off can be told to be of the next answer's version.
    fn is_provable(&self) -> bool {
        self.validators == Validators::Strong
    }

    /// How many times its bytes it may cost.
    fn most(&self) -> f64 {
        let resumes = self.is_provable() && self.ranges == Ranges::Served;
        // Half of it came before it died; a refused or dropped answer is small.
        if self.dies && !resumes {
            1.6
        } else if self.viewer && !self.is_provable() {
            1.05
        } else {
            1.02
        }
    }

    fn may_get(&self, got: Gets) -> bool {
        match got {
            Whole => true,
            // His bytes were of an answer that nobody can go on with.
            Broken => self.dies && !self.is_provable(),
            Status(_) => false,
        }
    }
}

async fn check(t: &TestApp, media: &Media, row: Row) -> Result<(), String> {
    let (id, key) = (format!("r{}", row.number), format!("r{}.mp4", row.number));
    let url = t.sim.add_faulty_file("a.mp4", media.clone(), row.faults());
    t.sim.set_source(&url, row.source());
    t.hook(&id, &url, "?policy=on_demand").await;
    let got = if row.viewer {
        let got = gets(t.client.get(t.link(&key)).send().await.unwrap(), media).await;
        // Whoever was broken off comes again, and need not wait for long.
        if got == Broken {
            drop(t.app.engine.join(&key.parse().unwrap()))
        }
        got
    } else {
        drop(t.app.engine.join(&key.parse().unwrap()));
        Whole
    };
    let clip = t.until(&key, ClipState::Stored).await;
    let read = t.sim.bytes_served(&url) as f64 / LEN as f64;
    let is_right = clip.sealed.is_some_and(|sealed| sealed.sha256 == media.sha256());
    let again = gets(t.client.get(t.link(&key)).send().await.unwrap(), media).await;
    if row.may_get(got) && read <= row.most() && is_right && again == Whole && clip.attempts == 1 {
        return Ok(());
    }
    let asked: Vec<_> =
        t.sim.requests_for(&url).iter().map(|r| (r.header("range").map(str::to_owned), r.status, r.sent())).collect();
    Err(format!("{row:?}: {got:?}, {read:.3} of its bytes, {} attempts, {asked:?}", clip.attempts))
}

#[tokio::test(flavor = "multi_thread")]
async fn k03_k04_k05_the_ladder_keeps_every_clip_that_can_be_had() {
    let settings =
        [("fill_concurrency", "64"), ("source_connections", "1024"), ("source_connections_per_host", "1024")];
    let t = TestApp::with(&settings.map(|(name, value)| (name, value.to_owned()))).await;
    let media = Media::padded_slow_start(LEN, 1);
    let rows = rows();
    let all = rows.len();
    assert_eq!(all, 3 * 5 * 24);
    let told = futures_util::stream::iter(rows).map(|row| check(&t, &media, row)).buffer_unordered(AT_ONCE);
    let wrong: Vec<_> = told.filter_map(async |told: Result<(), String>| told.err()).collect().await;
    assert!(wrong.is_empty(), "{} of {all}: {wrong:#?}", wrong.len());
}
