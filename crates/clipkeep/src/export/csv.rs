//! CSV (RFC 4180), safe to open.

use clipkeep_core::time::Timestamp;

use super::columns::{COLUMNS, Cell};
use crate::dto::ClipRow;

/// The next lines; with the header, if they are the first.
pub(super) fn piece(rows: &[ClipRow], first: bool) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing into a Vec cannot fail.
    if first {
        let _ = writer.write_record(COLUMNS.iter().map(|column| column.name));
    }
    for row in rows {
        let _ = writer.write_record(COLUMNS.iter().map(|column| (column.of)(row).map(cell).unwrap_or_default()));
    }
    writer.into_inner().unwrap_or_default()
}

fn cell(cell: Cell) -> String {
    match cell {
        Cell::Text(text) => harmless(text),
        Cell::Int(number) => number.to_string(),
        Cell::Seed(seed) => seed.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Flag(flag) => flag.to_string(),
        Cell::Time(millis) => Timestamp::from_millis(millis).to_string(),
    }
}

/// A prompt is a stranger's text, and a spreadsheet runs what begins like a
/// formula. An apostrophe in front makes it text; so that it can be taken away
/// again for certain, text that has one gets another.
pub(crate) fn harmless(text: String) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) {
        true => format!("'{text}"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_is_text() {
        for (text, safe) in [("=1+1", "'=1+1"), ("@x", "'@x"), ("'a", "''a"), ("a=b", "a=b"), ("", "")] {
            assert_eq!(cell(Cell::Text(text.to_owned())), safe);
        }
        assert_eq!(cell(Cell::Int(-7)), "-7");
    }
}
