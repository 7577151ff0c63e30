//! How long to wait before the next attempt.

use std::time::Duration;

/// The delay before attempt `attempt + 1`: `base` doubled for each attempt
/// after the first, at most `max`, of which a random half is taken off
/// (`random` in 0..1), so that what failed together does not return together.
pub fn delay(attempt: u32, base: Duration, max: Duration, random: f64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(32);
    let full = base.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(max);
    full.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_jitter_takes_up_to_half() {
        let delay = |attempt, random| super::delay(attempt, Duration::from_secs(1), Duration::from_secs(10), random);
        assert_eq!(delay(0, 0.0), Duration::from_secs(1));
        assert_eq!(delay(1, 0.0), Duration::from_secs(1));
        assert_eq!(delay(3, 0.0), Duration::from_secs(4));
        assert_eq!(delay(3, 1.0), Duration::from_secs(2));
        assert_eq!(delay(u32::MAX, 0.0), Duration::from_secs(10));
    }
}
