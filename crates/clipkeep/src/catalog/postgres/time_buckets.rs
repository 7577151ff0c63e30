//! Which piece of time a word search looks through next. Common words are soon
//! found by walking through the newest clips. For all others the index of words
//! is asked for a span of time, which it knows as it knows a word; spans get
//! longer until enough is found, and shorter where they hold too much.

use super::super::search::Found;

/// How many of the newest clips are walked through before anything is known.
const STEP: i64 = 4_000;
/// How many are at most, where even the shortest span holds too much.
const FAR: i64 = 64_000;
/// How long spans are, in bits of milliseconds.
const BITS: [u32; 4] = [20, 24, 28, 32];
/// After the longest span comes all of time.
const ALWAYS: usize = BITS.len();
/// A length that yielded less than this part of what is missing is too short.
const PART: usize = 8;

/// The spans of a clip, to the letter as the index has them.
pub(super) const OF_CLIP: &str = "ARRAY[(created_at >> 20) << 3, (created_at >> 24) << 3 | 1, \
    (created_at >> 28) << 3 | 2, (created_at >> 32) << 3 | 3]";

/// A piece of time that ends where a search has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// So many of the next clips.
    Walk(i64),
    /// A span, with its name in the index; none has all of time.
    Span { name: Option<i64>, start: i64 },
}

/// A search's way back in time.
pub(super) struct Course {
    /// Which length is to be tried; none before anything is known.
    length: Option<usize>,
    /// For each length, where the last span starts that held too much.
    full: [i64; ALWAYS + 1],
    /// How many clips the next walk goes through.
    step: i64,
    /// The length that is never exceeded.
    longest: usize,
}

impl Course {
    /// Of a search for what is not older than `since`: all of time is only asked
    /// for where that is no bound.
    pub(super) fn new(since: i64) -> Self {
        let longest = if since == i64::MIN { ALWAYS } else { ALWAYS - 1 };
        Self { length: None, full: [i64::MAX; ALWAYS + 1], step: STEP, longest }
    }

    /// What is to be looked through of all that is older than `from`.
    pub(super) fn next(&mut self, from: &Found) -> Piece {
        let newest = newest(from);
        while let Some(length) = self.length {
            if newest < self.full[length] {
                return span(length, newest);
            }
            self.length = length.checked_sub(1);
        }
        let step = self.step;
        self.step = (step * 2).min(FAR);
        Piece::Walk(step)
    }

    /// The span that was to be looked through, which starts there, holds too much.
    pub(super) fn holds_too_much(&mut self, start: i64) {
        if let Some(length) = self.length {
            self.full[length] = start;
        }
    }

    /// A piece was looked through and so much found in it; so much is missing
    /// still. `millis` is how long a piece it was.
    pub(super) fn found(&mut self, found: usize, missing: usize, millis: i64) {
        let length = match self.length {
            Some(length) if found * PART < missing => length + 1,
            Some(length) => length,
            None => {
                let needed = millis.saturating_mul(missing as i64) / (found.max(1) as i64);
                BITS.iter().position(|bits| 1 << bits >= needed).unwrap_or(ALWAYS)
            }
        };
        self.length = Some(length.min(self.longest));
    }
}

/// The newest millisecond of which something is older than `from`.
fn newest(from: &Found) -> i64 {
    if from.key.is_empty() { from.created_at.saturating_sub(1) } else { from.created_at }
}

/// The span of this length that holds this millisecond.
fn span(length: usize, millis: i64) -> Piece {
    let Some(bits) = BITS.get(length) else { return Piece::Span { name: None, start: i64::MIN } };
    let number = millis >> bits;
    Piece::Span { name: Some(number << 3 | length as i64), start: number << bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const NOW: i64 = 20_000 * DAY;

    fn from(created_at: i64) -> Found {
        Found { created_at, key: String::new() }
    }

    fn start(piece: Piece) -> i64 {
        match piece {
            Piece::Span { start, .. } => start,
            Piece::Walk(_) => panic!("a walk"),
        }
    }

    #[test]
    fn a_span_is_as_long_as_what_was_found_promises() {
        for (found, millis, bits) in [(50, DAY, 28), (1, DAY / 1000, 24), (0, DAY / 100, 28), (100, 9, 20)] {
            let mut course = Course::new(i64::MIN);
            assert_eq!(course.next(&from(NOW)), Piece::Walk(STEP));
            course.found(found, 100, millis);
            assert_eq!(start(course.next(&from(NOW))), (NOW - 1) >> bits << bits, "{found} in {millis}");
        }
        let mut course = Course::new(i64::MIN);
        course.found(0, 100, DAY);
        assert_eq!(course.next(&from(NOW)), Piece::Span { name: None, start: i64::MIN });
        let mut course = Course::new(0);
        course.found(0, 100, DAY);
        assert_eq!(start(course.next(&from(NOW))), (NOW - 1) >> 32 << 32);
    }

    #[test]
    fn spans_get_longer_while_little_is_found() {
        let mut course = Course::new(i64::MIN);
        course.found(100, 100, 1);
        for (found, bits) in [(0, 20), (1, 24), (50, 28), (2, 28)] {
            assert_eq!(start(course.next(&from(NOW))), (NOW - 1) >> bits << bits);
            course.found(found, 100, 1);
        }
    }

    #[test]
    fn what_holds_too_much_is_parted_down_to_single_steps_until_it_is_left() {
        let mut course = Course::new(i64::MIN);
        course.found(0, 100, DAY);
        let mut place = i64::MAX;
        for _ in 0..=ALWAYS {
            place = start(course.next(&from(NOW)));
            course.holds_too_much(place);
        }
        assert_eq!(course.next(&from(NOW)), Piece::Walk(STEP));
        course.found(1, 100, DAY);
        assert_eq!(course.next(&from(NOW)), Piece::Walk(STEP * 2));
        // A key within its first millisecond is still in it; before it nothing is.
        let within = Found { created_at: place, key: "a".to_owned() };
        course.found(1, 100, 1);
        assert_eq!(course.next(&within), Piece::Walk(STEP * 4));
        course.found(1, 100, 1);
        assert!(matches!(course.next(&from(place)), Piece::Span { name: Some(_), .. }));
    }
}
