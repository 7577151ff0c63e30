//! Sizes and spans of time as people read them.

use std::time::Duration;

/// A size in binary units: `999 B`, `2.0 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut rest = bytes as f64;
    let mut unit = 0;
    while rest >= 1024.0 && unit + 1 < UNITS.len() {
        rest /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{rest:.1} {}", UNITS[unit]) }
}

/// A span of time in its two largest units: `120 ms`, `3.4 s`, `2 min 5 s`,
/// `5 d 2 h`.
pub fn span(span: Duration) -> String {
    let secs = span.as_secs();
    match secs {
        0 => format!("{} ms", span.as_millis()),
        1..60 => format!("{:.1} s", (span.as_millis() / 100) as f64 / 10.0),
        60..3600 => format!("{} min {} s", secs / 60, secs % 60),
        3600..86_400 => format!("{} h {} min", secs / 3600, secs / 60 % 60),
        _ => format!("{} d {} h", secs / 86_400, secs / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(2 << 30), "2.0 GiB");
    }

    #[test]
    fn spans_read_well() {
        for (millis, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (59_999, "59.9 s"),
            (125_000, "2 min 5 s"),
            (3_660_000, "1 h 1 min"),
            (439_200_000, "5 d 2 h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }
}
