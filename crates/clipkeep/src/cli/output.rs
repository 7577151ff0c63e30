//! Printing: text for people, JSON for programs, progress on a terminal.

use std::io::{IsTerminal, Write};

pub(super) use clipkeep_core::human::{size, span};

use clipkeep_core::usage::Moment;
use serde::Serialize;

/// Whether logs go to a person.
pub(super) fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Prints a line of text.
pub(super) fn line(text: impl AsRef<str>) {
    // A reader that went away (`| head`) is no error worth a word.
    let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
}

/// Says something beside what is printed, on standard error.
pub(super) fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "note: {}", text.as_ref());
}

/// Prints one JSON value as a line.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(value)?);
    Ok(())
}

/// Rows as aligned columns under their headings.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let render = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    line(render(&headings.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>()));
    for row in rows {
        line(render(row));
    }
}

/// `1 clip`, `2 clips`.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// The first `max` characters of `text`, with an ellipsis where it was cut.
pub(super) fn shorten(text: &str, max: usize) -> String {
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if flat.chars().count() <= max {
        return flat;
    }
    flat.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// A span that ends before it begins holds nothing: nobody means that.
pub(super) fn in_order(from: &str, begin: Option<Moment>, to: &str, end: Option<Moment>) -> anyhow::Result<()> {
    match (begin, end) {
        (Some(begin), Some(end)) if begin.0 >= end.0 => anyhow::bail!("{to} must be later than {from}"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(shorten("a\u{1b}[31mb\nc", 40), "a [31mb c");
        assert_eq!(shorten("abcdef", 4), "abc…");
    }
}
