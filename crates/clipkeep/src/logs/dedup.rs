//! A line that says again what was said before is told at growing intervals: a
//! step that fails each second for a day is worth a dozen lines, not a hundred
//! thousand.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    fmt,
    hash::{Hash as _, Hasher as _},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Filter};

/// After a line, for how long the same is not told again; then twice as long
/// each time.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const MAX_PAUSE: Duration = Duration::from_secs(600);
/// A line that was quiet for so much longer than its interval is news again.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// How many lines are remembered.
const MAX_LINES: usize = 1024;

/// Lets warnings and errors through that are news.
#[derive(Default)]
pub(super) struct LogDedup(Mutex<HashMap<u64, SeenLine>>);

struct SeenLine {
    seen: Instant,
    next: Instant,
    pause: Duration,
}

impl LogDedup {
    fn should_log(&self, line: u64, now: Instant) -> bool {
        let mut known = self.0.lock();
        let is_over = |told: &SeenLine| now.duration_since(told.seen) > told.pause + FORGET_AFTER;
        if known.len() >= MAX_LINES {
            known.retain(|_, told| !is_over(told));
        }
        let has_room = known.len() < MAX_LINES;
        match known.get_mut(&line) {
            Some(told) if !is_over(told) => {
                told.seen = now;
                if now < told.next {
                    return false;
                }
                told.pause = (told.pause * 2).min(MAX_PAUSE);
                told.next = now + told.pause;
            }
            _ if has_room => {
                known.insert(line, SeenLine { seen: now, next: now + FIRST_PAUSE, pause: FIRST_PAUSE });
            }
            _ => {}
        }
        true
    }
}

impl<S: Subscriber> Filter<S> for LogDedup {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        if *event.metadata().level() > Level::WARN {
            return true;
        }
        let mut line = Line(DefaultHasher::new());
        event.metadata().callsite().hash(&mut line.0);
        event.record(&mut line);
        self.should_log(line.0.finish(), Instant::now())
    }
}

/// What an event says, hashed.
struct Line(DefaultHasher);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        struct Into<'a>(&'a mut DefaultHasher);
        impl fmt::Write for Into<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.write(text.as_bytes());
                Ok(())
            }
        }
        field.name().hash(&mut self.0);
        let _ = fmt::write(&mut Into(&mut self.0), format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h32_what_repeats_is_told_at_growing_intervals() {
        let (repeats, start) = (LogDedup::default(), Instant::now());
        let told: Vec<u64> =
            (0..86_400).filter(|secs| repeats.should_log(1, start + Duration::from_secs(*secs))).collect();
        assert_eq!(told[..5], [0, 2, 6, 14, 30]);
        assert!(told.len() < 160, "{}", told.len());
        // Something else is news, and so is the same after a while.
        let day = start + Duration::from_secs(86_400);
        assert!(repeats.should_log(2, day) && !repeats.should_log(2, day));
        assert!(repeats.should_log(1, day + Duration::from_secs(700)));
    }

    #[test]
    fn however_many_different_lines_come_few_are_remembered() {
        let (repeats, now) = (LogDedup::default(), Instant::now());
        for line in 0..10_000 {
            assert!(repeats.should_log(line, now));
        }
        assert!(repeats.0.lock().len() <= MAX_LINES);
    }
}
