//! Pictures: bars in the terminal, and a page of its own with the same.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Write as _},
    path::Path,
};

use anyhow::Context;

use super::output;
use crate::umask;

/// How wide a terminal is taken to be that does not say.
const WIDTH: usize = 80;
/// The lengths of a character's part of a bar, in eighths.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
/// A page's bars, in its own units.
const BAR: u128 = 480;
const LINE: usize = 24;
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;\
    color:#1b1f24;background:#fff}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
    th,td{padding:.25rem .75rem;text-align:right;border-bottom:1px solid #d5d9de}\
    th:first-child,td:first-child{text-align:left}tr:last-child td{font-weight:600}\
    svg{width:100%;height:auto}svg text{fill:currentColor;font-size:12px}svg rect{fill:#2f6fde}\
    @media(prefers-color-scheme:dark){body{color:#e4e7eb;background:#14171b}th,td{border-color:#343a42}\
    svg rect{fill:#6ea0ff}}";

/// One bar.
pub(super) struct Bar {
    /// What it stands for.
    pub(super) name: String,
    /// How long it is, beside the others.
    pub(super) amount: u128,
    /// The amount for people.
    pub(super) text: String,
}

/// Bars under a title.
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) bars: Vec<Bar>,
}

/// A page with charts and the table that they show.
pub(super) struct Page {
    pub(super) title: String,
    pub(super) charts: Vec<Chart>,
    pub(super) headings: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// Prints bars, if a person looks.
pub(super) fn print(title: &str, bars: &[Bar]) {
    if std::io::stdout().is_terminal() && bars.len() > 1 {
        output::line("");
        output::line(title);
        let width = output::terminal_width();
        lines(bars, width.unwrap_or(WIDTH)).iter().for_each(output::line);
    }
}

/// Bars of at most `width` characters with names and amounts.
fn lines(bars: &[Bar], width: usize) -> Vec<String> {
    let longest = |text: fn(&Bar) -> &str| bars.iter().map(|bar| text(bar).chars().count()).max().unwrap_or(0);
    let names = longest(|bar| &bar.name).min(width / 3);
    let amounts = longest(|bar| &bar.text);
    let room = width.saturating_sub(names + amounts + 4).max(8);
    let most = bars.iter().map(|bar| bar.amount).max().unwrap_or(0).max(1);
    let line = |bar: &Bar| {
        let eighths = usize::try_from(share(bar.amount, most, room as u128 * 8)).unwrap_or(0);
        let drawn = format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8]);
        format!("{:<names$}  {:>amounts$}  {drawn}", output::shorten(&bar.name, names.max(1)), bar.text)
    };
    bars.iter().map(|bar| line(bar).trim_end().to_owned()).collect()
}

/// `amount` of `most` in steps of which `most` has `steps`.
fn share(amount: u128, most: u128, steps: u128) -> u128 {
    // Large amounts lose digits that no picture shows.
    let shift = (128 - most.leading_zeros()).saturating_sub(64);
    ((amount >> shift) * steps / (most >> shift).max(1)).min(steps)
}

/// Writes the page: whole or not at all.
pub(super) fn write(path: &Path, page: &Page) -> anyhow::Result<()> {
    let writing = || format!("writing {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(writing)?;
    file.as_file().set_permissions(umask::of_users_files()).with_context(writing)?;
    file.write_all(html(page).as_bytes()).with_context(writing)?;
    file.as_file().sync_all().with_context(writing)?;
    file.persist(path).with_context(writing)?;
    Ok(())
}

fn html(page: &Page) -> String {
    let title = escape(&page.title);
    let mut text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>"
    );
    page.charts.iter().for_each(|chart| svg(&mut text, chart));
    let cells = |cells: &[String], tag: &str| -> String {
        cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect()
    };
    // Writing into a String cannot fail, here and below.
    let _ = write!(text, "<table><thead><tr>{}</tr></thead><tbody>", cells(&page.headings, "th"));
    for row in &page.rows {
        let _ = write!(text, "<tr>{}</tr>", cells(row, "td"));
    }
    text.push_str("</tbody></table></body></html>\n");
    text
}

fn svg(text: &mut String, chart: &Chart) {
    let title = escape(&chart.title);
    let most = chart.bars.iter().map(|bar| bar.amount).max().unwrap_or(0).max(1);
    let height = chart.bars.len() * LINE;
    let _ = write!(
        text,
        "<h2>{title}</h2><svg role=\"img\" aria-label=\"{title}\" viewBox=\"0 0 800 {height}\" \
         xmlns=\"http://www.w3.org/2000/svg\">"
    );
    for (at, bar) in chart.bars.iter().enumerate() {
        let (top, base, long) = (at * LINE + 4, at * LINE + 17, share(bar.amount, most, BAR));
        let (name, amount) = (escape(&output::shorten(&bar.name, 28)), escape(&bar.text));
        let _ = write!(
            text,
            "<text x=\"0\" y=\"{base}\">{name}</text><rect x=\"200\" y=\"{top}\" width=\"{long}\" height=\"16\" \
             rx=\"2\"/><text x=\"{}\" y=\"{base}\">{amount}</text>",
            208 + long
        );
    }
    text.push_str("</svg>");
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, amount: u128) -> Bar {
        Bar { name: name.to_owned(), amount, text: amount.to_string() }
    }

    #[test]
    fn bars_fit_the_terminal_and_are_as_long_as_their_share() {
        let bars = [bar("acme", 100), bar("other", 50), bar("small", 1), bar("none", 0)];
        let drawn = lines(&bars, 40);
        assert!(drawn.iter().all(|line| line.chars().count() <= 40), "{drawn:?}");
        let long = |line: &str| line.chars().filter(|c| *c == '█').count();
        assert_eq!((long(&drawn[0]), long(&drawn[1]), long(&drawn[3])), (28, 14, 0));
        assert_eq!(drawn[2].chars().last(), Some('▎'));
        assert_eq!(lines(&[bar("huge", u128::MAX), bar("half", u128::MAX / 2)], 30).len(), 2);
        assert!(lines(&[], 40).is_empty());
    }

    #[test]
    fn what_others_wrote_stays_text() {
        let chart = Chart { title: "a & b".into(), bars: vec![bar("<script>alert(1)</script>\u{7}", 1)] };
        let row = vec!["\"><img onerror='x'>".to_owned()];
        let page = Page { title: "<b>".into(), charts: vec![chart], headings: vec!["H".into()], rows: vec![row] };
        let text = html(&page);
        assert!(
            !text.contains("<script") && !text.contains("<img") && !text.contains("<b>") && !text.contains('\u{7}')
        );
        assert!(text.contains("a &amp; b") && text.contains("&lt;script&gt;"));
    }
}
