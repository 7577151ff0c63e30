//! The time by which leases of others are judged.

use std::time::Duration;

use clipkeep_core::time::{Clock, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

/// A wall clock that does not jump ahead: where the real one does, this one goes
/// on as before for the span of a lease. By then whoever is alive has renewed,
/// by the new time; a lease that has run out since is one whose holder is gone.
/// A clock that is set back makes leases last longer, which takes nobody's away.
pub(super) struct SteadyClock {
    lease: Duration,
    state: Mutex<Option<State>>,
}

#[derive(Clone, Copy)]
struct State {
    at: Instant,
    wall: Timestamp,
    holds_back_until: Option<Instant>,
}

impl SteadyClock {
    pub(super) fn new(lease: Duration) -> Self {
        Self { lease, state: Mutex::default() }
    }

    pub(super) fn now(&self, clock: &dyn Clock) -> Timestamp {
        self.at(Instant::now(), clock.now())
    }

    /// Now, and how long a lease is to be that is taken now, so that it ends when
    /// one by the wall clock would.
    pub(super) fn take(&self, clock: &dyn Clock) -> (Timestamp, Duration) {
        let (wall, now) = (clock.now(), self.now(clock));
        (now, wall.since(now) + self.lease)
    }

    fn at(&self, at: Instant, wall: Timestamp) -> Timestamp {
        let mut state = self.state.lock();
        let Some(before) = *state else {
            *state = Some(State { at, wall, holds_back_until: None });
            return wall;
        };
        let steady = before.wall.plus(at.saturating_duration_since(before.at));
        // Less than that is left of every lease that is held.
        let jumped = wall.since(steady) > self.lease / 3;
        let holds_back_until = before.holds_back_until.or_else(|| jumped.then(|| at + self.lease));
        if holds_back_until.is_some_and(|until| at < until) {
            *state = Some(State { at, wall: steady, holds_back_until });
            return steady.min(wall);
        }
        *state = Some(State { at, wall, holds_back_until: None });
        wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(60);
    const HOUR: i64 = 3600;

    /// What it says at these seconds, where the wall clock is so far off.
    fn said(steps: &[(u64, i64)]) -> Vec<i64> {
        let (steady, start) = (SteadyClock::new(LEASE), Instant::now());
        let ask = |(at, off): &(u64, i64)| {
            let wall = Timestamp::from_secs(1_800_000_000 + at.cast_signed() + off);
            steady.at(start + Duration::from_secs(*at), wall).secs() - 1_800_000_000
        };
        steps.iter().map(ask).collect()
    }

    #[test]
    fn h26_a_jump_ahead_counts_once_everybody_had_the_time_to_renew() {
        assert_eq!(
            said(&[(0, 0), (10, HOUR), (40, HOUR), (69, HOUR), (70, HOUR), (80, HOUR)]),
            [0, 10, 40, 69, 70 + HOUR, 80 + HOUR]
        );
    }

    #[test]
    fn h26_a_second_jump_and_one_back_while_it_waits_end_with_the_wall_clock() {
        assert_eq!(said(&[(0, 0), (10, HOUR), (20, 2 * HOUR), (70, 2 * HOUR)]), [0, 10, 20, 70 + 2 * HOUR]);
        assert_eq!(said(&[(0, 0), (10, HOUR), (20, 0), (70, 0)]), [0, 10, 20, 70]);
    }

    #[test]
    fn h26_a_clock_that_is_set_back_or_a_little_off_is_followed() {
        assert_eq!(said(&[(0, 0), (10, -HOUR), (20, -HOUR)]), [0, 10 - HOUR, 20 - HOUR]);
        assert_eq!(said(&[(0, 0), (10, 5), (400, 9)]), [0, 15, 409]);
    }
}
