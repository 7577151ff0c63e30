//! How long to wait before the next attempt.

use std::time::Duration;

/// The wait after the `attempt`-th failure, counted from 1: `base`, doubled
/// with each further failure, `max` at most. A half of it is drawn by `random`
/// in 0..1, so that clips which failed together do not return together. A
/// `Retry-After` is a floor under it: the caller waits for the longer of both.
pub fn delay(attempt: u32, base: Duration, max: Duration, random: f64) -> Duration {
    let factor = 2_u32.checked_pow(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let half = base.saturating_mul(factor).min(max) / 2;
    let random = if random.is_finite() { random.clamp(0.0, 1.0) } else { 1.0 };
    half + half.mul_f64(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attempt: u32, random: f64, expected_millis: u64) {
        let delay = delay(attempt, Duration::from_secs(1), Duration::from_secs(60), random);
        assert_eq!(delay, Duration::from_millis(expected_millis), "attempt {attempt}, random {random}");
    }

    #[test]
    fn waits_double_up_to_the_longest_and_half_of_each_is_drawn() {
        check(0, 1.0, 1_000);
        check(1, 0.0, 500);
        check(1, 1.0, 1_000);
        check(4, 0.5, 6_000);
        check(7, 1.0, 60_000);
        check(u32::MAX, 0.0, 30_000);
    }

    #[test]
    fn a_broken_draw_does_no_harm() {
        check(1, f64::NAN, 1_000);
        check(1, -3.0, 500);
    }
}
