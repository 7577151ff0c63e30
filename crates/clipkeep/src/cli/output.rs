//! Printing: text for people, JSON for programs, progress on a terminal.

use std::{
    io::{self, IsTerminal, Write},
    sync::OnceLock,
};

pub(super) use clipkeep_core::human::{size, span};

use anyhow::anyhow;
use clipkeep_core::{
    printable::{printable, printable_json},
    usage::Moment,
};
use serde::Serialize;

/// Whether logs go to a person.
pub(super) fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Why standard output did not take something, if it did not.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints one line of text. Whoever wrote what is in it, the terminal obeys
/// none of it.
pub(super) fn line(text: impl AsRef<str>) {
    print(&printable(text.as_ref()));
}

/// Says something beside what is printed, on standard error.
pub(super) fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr(), "note: {}", printable(text.as_ref()));
}

/// Prints one JSON value as a line; what a terminal would obey is escaped in it,
/// which says the same.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&printable_json(&serde_json::to_string(value)?));
    finish()
}

fn print(line: &str) {
    if let Err(error) = writeln!(io::stdout(), "{line}") {
        let _ = FAILED.set(error);
    }
}

/// Fails if something could not be printed. A reader that went away (`| head`)
/// has what it wanted: that is no error.
pub(super) fn finish() -> anyhow::Result<()> {
    match FAILED.get() {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow!("what was printed is cut off: writing to standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// How wide the terminal is, if there is one.
pub(super) fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_col > 0);
    size.map(|size| usize::from(size.ws_col))
}

/// Rows as aligned columns under their headings; where the terminal is too
/// narrow for that, each row as a few lines.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| printable(cell).into_owned()).collect()).collect();
    lay_out(headings, &rows, terminal_width()).iter().for_each(line);
}

fn lay_out(headings: &[&str], rows: &[Vec<String>], room: Option<usize>) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| columns(&row[column]));
        cells.chain([columns(headings[column])]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let needed = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    if room.is_some_and(|room| needed > room) {
        return one_below_the_other(headings, rows);
    }
    let render = |cells: &mut dyn Iterator<Item = &str>| {
        let pad = |(cell, width): (&str, &usize)| format!("{cell}{}", " ".repeat(width - columns(cell) + GAP));
        cells.zip(&widths).map(pad).collect::<String>().trim_end().to_owned()
    };
    let head = render(&mut headings.iter().copied());
    [head].into_iter().chain(rows.iter().map(|row| render(&mut row.iter().map(String::as_str)))).collect()
}

fn one_below_the_other(headings: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let widest = headings.iter().map(|heading| columns(heading)).max().unwrap_or(0);
    let cell = |(heading, cell): (&&str, &String)| format!("{heading:<widest$}  {cell}");
    let row = |row: &Vec<String>| headings.iter().zip(row).map(cell).collect::<Vec<_>>();
    rows.iter().map(row).collect::<Vec<_>>().join(&[String::new()][..])
}

/// How many columns a text takes: signs of East Asia and pictures take two.
fn columns(text: &str) -> usize {
    let is_wide = |c: char| {
        matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}'
            | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}')
    };
    text.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

/// What stands between two columns.
const GAP: usize = 2;

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
        (Some(begin), Some(end)) if begin.0 >= end.0 => {
            Err(super::wrong_usage(format!("{to} must be later than {from}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h42_a_table_that_does_not_fit_is_told_row_by_row() {
        let rows = [vec!["a.mp4".to_owned(), "狐".to_owned()], vec!["b.mp4".to_owned(), "a red fox".to_owned()]];
        let table = ["KEY    PROMPT", "a.mp4  狐", "b.mp4  a red fox"];
        assert_eq!(lay_out(&["KEY", "PROMPT"], &rows, None), table);
        assert_eq!(lay_out(&["KEY", "PROMPT"], &rows, Some(16)), table);
        let narrow = ["KEY     a.mp4", "PROMPT  狐", "", "KEY     b.mp4", "PROMPT  a red fox"];
        assert_eq!(lay_out(&["KEY", "PROMPT"], &rows, Some(15)), narrow);
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(shorten("a\u{1b}[31mb\nc", 40), "a [31mb c");
        assert_eq!(shorten("abcdef", 4), "abc…");
    }
}
