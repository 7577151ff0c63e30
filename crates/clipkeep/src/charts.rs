//! Charts as SVG, for the console and for reports: columns over a time, stacked,
//! and bars beside one another. Colours come from `assets/charts.css` by class, so
//! that a strict content policy holds and both themes read well.

use maud::{Markup, html};

/// How wide and high columns are, in the picture's own units.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 240.0;
/// What stands left of the columns and below them.
const LEFT: f64 = 84.0;
const BELOW: f64 = 28.0;
const ABOVE: f64 = 10.0;
/// How many names stand on the time axis at most.
const NAMED: usize = 7;
/// How high a bar's line is, and how long the longest bar.
const LINE: usize = 26;
const BAR: f64 = 230.0;
/// How many colours there are: what is stacked beyond shares the last one.
const COLOURS: usize = 7;

/// How amounts read.
#[derive(Clone, Copy)]
pub struct Scale {
    pub text: fn(u128) -> String,
    /// Whether a thousand is 1024.
    pub binary: bool,
}

/// One moment's amounts.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    /// An amount of each series.
    pub amounts: Vec<u128>,
}

/// Columns over a time.
pub struct Columns {
    pub title: String,
    /// What is stacked, from the bottom.
    pub series: Vec<String>,
    /// From the first moment to the last.
    pub columns: Vec<Column>,
    pub scale: Scale,
}

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    pub name: String,
    /// How long it is, beside the others.
    pub amount: u128,
    pub text: String,
    /// Whether it is more than there should be.
    pub exceeds: bool,
}

/// Bars under a title.
#[derive(Clone, Debug)]
pub struct Bars {
    pub title: String,
    pub bars: Vec<Bar>,
    /// The amount that a whole bar stands for, unless one of them is more.
    pub whole: u128,
}

impl Columns {
    /// The picture, with a legend where more than one thing is stacked.
    pub fn draw(&self) -> Markup {
        let sum = |column: &Column| column.amounts.iter().sum::<u128>();
        let top = round_up(self.columns.iter().map(sum).max().unwrap_or(0), self.scale.binary);
        let (room, step) = (HEIGHT - ABOVE - BELOW, (WIDTH - LEFT) / self.columns.len().max(1) as f64);
        let y = |amount: f64| HEIGHT - BELOW - room * amount / top;
        let every = self.columns.len().div_ceil(NAMED).max(1);
        html! {
            figure.chart {
                figcaption { (self.title) }
                @if self.columns.is_empty() {
                    p.none { "Nothing in this time." }
                } @else {
                    div.wide tabindex="0" role="region" aria-label=(self.title) { svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(self.title) {
                        @for share in [0.0, 0.5, 1.0] {
                            line.grid x1=(LEFT) x2=(WIDTH) y1=(y(top * share)) y2=(y(top * share)) {}
                            text.tick x=(LEFT - 8.0) y=(y(top * share) + 4.0) text-anchor="end" {
                                ((self.scale.text)((top * share) as u128))
                            }
                        }
                        @for (at, column) in self.columns.iter().enumerate() {
                            (self.column(column, LEFT + step * at as f64, step, &y))
                            @if at % every == 0 {
                                text.tick x=(LEFT + step * (at as f64 + 0.5)) y=(HEIGHT - 8.0) text-anchor="middle" {
                                    (short(&column.name))
                                }
                            }
                        }
                    } }
                    @if self.series.len() > 1 {
                        ul.legend {
                            @for (at, name) in self.series.iter().enumerate() {
                                li { span class={ "key s" (at.min(COLOURS - 1)) } {} (name) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn column(&self, column: &Column, x: f64, step: f64, y: &impl Fn(f64) -> f64) -> Markup {
        let mut below = 0_u128;
        let stacked = column.amounts.iter().enumerate().map(|(at, amount)| {
            let bottom = y(below as f64);
            below += amount;
            (at, *amount, y(below as f64), bottom)
        });
        let stacked: Vec<_> = stacked.filter(|(_, amount, ..)| *amount > 0).collect();
        html! {
            g {
                title { (column.name) ": " ((self.scale.text)(below)) }
                @for (at, _, top, bottom) in stacked {
                    rect class={ "s" (at.min(COLOURS - 1)) } x=(x + step * 0.1) y=(top) width=(step * 0.8)
                        height=((bottom - top).max(0.5)) {}
                }
            }
        }
    }
}

impl Bars {
    /// Bars beside one another: the longest is a whole one.
    pub fn new(title: impl Into<String>, bars: Vec<Bar>) -> Self {
        Self { title: title.into(), bars, whole: 0 }
    }

    pub fn draw(&self) -> Markup {
        let most = self.bars.iter().map(|bar| bar.amount).fold(self.whole.max(1), u128::max);
        html! {
            figure.chart {
                figcaption { (self.title) }
                @if self.bars.is_empty() {
                    p.none { "Nothing to show." }
                } @else {
                    div.wide tabindex="0" role="region" aria-label=(self.title) { svg viewBox={ "0 0 " (WIDTH) " " (self.bars.len() * LINE) } role="img" aria-label=(self.title) {
                        @for (at, bar) in self.bars.iter().enumerate() {
                            @let long = BAR * (bar.amount as f64 / most as f64);
                            text x="0" y=(at * LINE + 17) { (shorten(&bar.name)) title { (bar.name) } }
                            rect class=(if bar.exceeds { "over" } else { "s0" }) x="210" y=(at * LINE + 4)
                                width=(long.max(0.5)) height="16" rx="2" {}
                            text.tick x=(218.0 + long) y=(at * LINE + 17) { (bar.text) }
                        }
                    } }
                }
            }
        }
    }
}

/// A round amount that is no less: 1, 2, 2.5 or 5 of a decimal place of the
/// largest unit.
fn round_up(most: u128, binary: bool) -> f64 {
    let most = (most as f64).max(1.0);
    let unit = if binary { 1024_f64.powf(most.log(1024.0).floor()) } else { 1.0 };
    let place = 10_f64.powf((most / unit).log10().floor());
    let fits = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|times| times * place * unit >= most);
    fits.unwrap_or(10.0) * place * unit
}

/// A moment without what its neighbours say, too: `2026-11-28` is `11-28`, and an
/// hour is `28 09:00`.
fn short(name: &str) -> &str {
    match (name.len(), name.get(5..10), name.get(8..16)) {
        (10, Some(day), _) => day,
        (17.., _, Some(hour)) => hour,
        _ => name,
    }
}

fn shorten(name: &str) -> String {
    const MAX_LABEL: usize = 28;
    if name.chars().count() <= MAX_LABEL {
        return name.to_owned();
    }
    name.chars().take(MAX_LABEL - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Scale = Scale { text: |amount| amount.to_string(), binary: false };

    #[test]
    fn the_axis_ends_at_a_round_amount() {
        for (most, top) in [(0, 1), (1, 1), (3, 5), (17, 20), (999, 1000), (1001, 2000), (2400, 2500)] {
            assert_eq!(round_up(most, false) as u128, top, "{most}");
        }
        for (most, top) in [(900, 1000), (1025, 2048), (3 << 30, 5 << 30), (100 << 20, 100 << 20)] {
            assert_eq!(round_up(most, true) as u128, top, "{most}");
        }
        assert!(round_up(u128::MAX, true).is_finite());
    }

    #[test]
    fn what_others_wrote_stays_text() {
        let evil = "</title><script>alert(1)</script>\"'";
        let column = Column { name: evil.to_owned(), amounts: vec![1, 0] };
        let series = vec![evil.to_owned(), "other".to_owned()];
        let columns = Columns { title: evil.to_owned(), series, columns: vec![column], scale: PLAIN };
        let bar = Bar { name: evil.to_owned(), amount: 1, text: evil.to_owned(), exceeds: false };
        let bars = Bars::new(evil, vec![bar]);
        for text in [columns.draw().into_string(), bars.draw().into_string()] {
            assert!(!text.contains("<script") && text.contains("&lt;script&gt;"), "{text}");
        }
    }

    #[test]
    fn amounts_are_stacked_to_their_sum() {
        let column = |amounts: &[u128]| Column { name: "2026-11-28".to_owned(), amounts: amounts.to_vec() };
        let columns = vec![column(&[5, 5]), column(&[0, 0]), column(&[10, 0])];
        let series = vec!["a".to_owned(), "b".to_owned()];
        let drawn = Columns { title: "t".to_owned(), series, columns, scale: PLAIN }.draw().into_string();
        let heights: Vec<f64> =
            drawn.split("height=\"").skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok()).collect();
        assert_eq!(heights.len(), 3, "{drawn}");
        assert!((heights[0] + heights[1] - heights[2]).abs() < 0.01, "{heights:?}");
        assert!(drawn.contains(">11-28<") && drawn.contains("class=\"key s1\""), "{drawn}");
    }
}
