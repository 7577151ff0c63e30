//! Pictures: bars in the terminal, and a page of its own with charts.

use std::{
    io::{IsTerminal, Write as _},
    path::Path,
};

use anyhow::Context;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::output;
use crate::{charts::Bar, umask};

/// How wide a terminal is taken to be that does not say.
const WIDTH: usize = 80;
/// The lengths of a character's part of a bar, in eighths.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
/// A page with charts and the table that they show.
pub(super) struct Page {
    pub(super) title: String,
    pub(super) charts: Vec<Markup>,
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
    let style = concat!(include_str!("../../assets/charts.css"), include_str!("../../assets/report.css"));
    let cell = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (page.title) }
                style { (PreEscaped(style)) }
            }
            body {
                h1 { (page.title) }
                @for chart in &page.charts { (chart) }
                table {
                    thead { tr { @for heading in &page.headings { th scope="col" { (heading) } } } }
                    tbody { @for row in &page.rows { tr { @for text in row { td { (cell(text)) } } } } }
                }
            }
        }
    };
    page.into_string() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, amount: u128) -> Bar {
        Bar { name: name.to_owned(), amount, text: amount.to_string(), exceeds: false }
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
        let row = vec!["\"><img onerror='x'>\u{7}".to_owned()];
        let page = Page { title: "<b>".into(), charts: Vec::new(), headings: vec!["a & b".into()], rows: vec![row] };
        let text = html(&page);
        assert!(!text.contains("<img") && !text.contains("<b>") && !text.contains('\u{7}'));
        assert!(text.contains("a &amp; b") && text.contains("&lt;img"));
    }
}
