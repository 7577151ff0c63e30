//! Whether an endpoint takes anything at all. When several subjects failed in a
//! row it most likely takes nothing, and a flood of attempts would help nobody:
//! it is probed then, one event at a time.

use std::{collections::BTreeSet, time::Duration};

use clipkeep_core::backoff;
use parking_lot::Mutex;

use super::OutboxSettings;
use crate::fill::random;

/// What the last attempts said.
pub(super) struct Health {
    breaker: usize,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    /// The subjects that failed since the last success.
    failing: BTreeSet<String>,
    probes: u32,
    /// What the endpoint asked for with its last refusal.
    asked: Duration,
}

impl Health {
    pub(super) fn new(settings: &OutboxSettings) -> Self {
        Self { breaker: settings.breaker, last: Mutex::default() }
    }

    /// Whether the endpoint is only probed.
    pub(super) fn is_down(&self) -> bool {
        self.last.lock().failing.len() >= self.breaker
    }

    /// How long to wait before the next probe.
    pub(super) fn pause(&self, settings: &OutboxSettings) -> Duration {
        let last = self.last.lock();
        let pause = backoff::delay(last.probes.max(1), settings.pause_base, settings.pause_max, random());
        pause.max(last.asked.min(settings.pause_max))
    }

    /// An event was not taken; answers whether the endpoint is down from now on.
    pub(super) fn failed(&self, subject: &str, asked: Option<Duration>) -> bool {
        let mut last = self.last.lock();
        last.asked = asked.unwrap_or_default();
        if last.failing.len() >= self.breaker {
            last.probes = last.probes.saturating_add(1);
            return false;
        }
        last.failing.insert(subject.to_owned());
        last.failing.len() >= self.breaker
    }

    /// An event was taken; answers whether the endpoint was down until now.
    pub(super) fn answered(&self) -> bool {
        let mut last = self.last.lock();
        let was_down = last.failing.len() >= self.breaker;
        *last = Last::default();
        was_down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> OutboxSettings {
        OutboxSettings { breaker: 3, ..OutboxSettings::new(Duration::ZERO, Duration::ZERO) }
    }

    #[test]
    fn one_subject_alone_does_not_make_an_endpoint_down_and_several_do() {
        let health = Health::new(&settings());
        assert!(!(0..100).any(|_| health.failed("poison", None)) && !health.is_down());
        assert!(!health.failed("b", None));
        assert!(health.failed("c", None) && health.is_down());
        assert!(!health.failed("d", None), "it is known already");
        assert!(health.answered() && !health.is_down());
        assert!(!health.answered());
    }

    #[test]
    fn probes_come_more_and_more_seldom_but_once_a_minute_at_least() {
        let (settings, health) = (settings(), Health::new(&settings()));
        for subject in ["a", "b", "c"] {
            health.failed(subject, None);
        }
        assert!(health.pause(&settings) <= settings.pause_base);
        for _ in 0..20 {
            health.failed("a", None);
        }
        let pause = health.pause(&settings);
        assert!(pause <= settings.pause_max && pause >= settings.pause_max / 2, "{pause:?}");
        health.failed("a", Some(Duration::from_secs(3000)));
        assert_eq!(health.pause(&settings), settings.pause_max);
    }
}
