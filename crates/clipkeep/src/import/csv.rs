//! CSV, record by record, in bounded memory whatever the file holds.

use std::io::{self, BufRead};

use csv::ByteRecord;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::MAX_RECORD;

/// No table has more columns.
const MAX_FIELDS: usize = 4096;

/// The delimiters that are guessed.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// Reads records off a file.
pub(super) struct CsvReader {
    core: Reader,
    /// The number of the line that is read next, from 1.
    line: u64,
    out: Vec<u8>,
    ends: Vec<usize>,
}

/// A record, or that there was one of more than a record may have.
pub(super) enum Record {
    Read(ByteRecord),
    TooLong,
}

impl CsvReader {
    pub(super) fn new(delimiter: u8) -> Self {
        let core = ReaderBuilder::new().delimiter(delimiter).build();
        Self { core, line: 1, out: vec![0; 4096], ends: vec![0; 64] }
    }

    /// The next record and the line it begins on.
    pub(super) fn next(&mut self, input: &mut impl BufRead) -> io::Result<Option<(u64, Record)>> {
        self.skip_blank(input)?;
        let began = self.line;
        let (mut len, mut fields, mut too_long) = (0, 0, false);
        loop {
            let bytes = input.fill_buf()?;
            let (result, taken, out, ends) =
                self.core.read_record(bytes, &mut self.out[len..], &mut self.ends[fields..]);
            self.line += lines(&bytes[..taken]);
            input.consume(taken);
            (len, fields) = (len + out, fields + ends);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.out.len() < MAX_RECORD => {
                    self.out.resize((self.out.len() * 2).min(MAX_RECORD), 0);
                }
                ReadRecordResult::OutputEndsFull if self.ends.len() < MAX_FIELDS => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                // What more there is of it goes over what came before.
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    (len, fields, too_long) = (0, 0, true);
                }
                ReadRecordResult::Record if too_long => return Ok(Some((began, Record::TooLong))),
                ReadRecordResult::Record => return Ok(Some((began, Record::Read(self.record(fields))))),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    fn record(&self, fields: usize) -> ByteRecord {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends[..fields]).map(|(start, end)| &self.out[start..*end]).collect()
    }

    /// Blank lines are no records, and records begin behind them.
    fn skip_blank(&mut self, input: &mut impl BufRead) -> io::Result<()> {
        loop {
            let bytes = input.fill_buf()?;
            let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.line += lines(&bytes[..blank]);
            let all = blank == bytes.len() && blank > 0;
            input.consume(blank);
            if !all {
                return Ok(());
            }
        }
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The delimiter of a table whose file begins so: which of the known ones
/// stands most often in the header, outside of quotes.
pub(super) fn guess_delimiter(head: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [0; DELIMITERS.len()];
    for byte in head {
        match byte {
            b'"' => quoted = !quoted,
            b'\r' | b'\n' if !quoted => break,
            _ if quoted => {}
            other => {
                if let Some(at) = DELIMITERS.iter().position(|known| known == other) {
                    counts[at] += 1;
                }
            }
        }
    }
    let most = counts.iter().copied().max().unwrap_or_default();
    counts.iter().position(|count| *count == most).map_or(b',', |at| DELIMITERS[at])
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// Records of a text read through a buffer so small that everything is cut.
    fn read(text: &str) -> Vec<(u64, Option<Vec<String>>)> {
        let mut input = BufReader::with_capacity(3, text.as_bytes());
        let mut reader = CsvReader::new(b',');
        let mut all = Vec::new();
        while let Some((line, record)) = reader.next(&mut input).unwrap() {
            let fields = match record {
                Record::Read(record) => {
                    Some(record.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect())
                }
                Record::TooLong => None,
            };
            all.push((line, fields));
        }
        all
    }

    fn fields(line: u64, fields: &[&str]) -> (u64, Option<Vec<String>>) {
        (line, Some(fields.iter().map(|field| (*field).to_owned()).collect()))
    }

    #[test]
    fn nasty_tables_are_read_as_they_are_meant() {
        let text = "a,b\r\n1,\"x, \"\"y\"\"\nsecond line\"\r\n\r\n\n,\n\"\",c\"d\n\"unclosed";
        let expected = [
            fields(1, &["a", "b"]),
            fields(2, &["1", "x, \"y\"\nsecond line"]),
            fields(6, &["", ""]),
            fields(7, &["", "c\"d"]),
            fields(8, &["unclosed"]),
        ];
        assert_eq!(read(text), expected);
        assert!(read("").is_empty() && read("\r\n\n").is_empty());
    }

    #[test]
    fn a_record_that_is_too_long_is_passed_over() {
        let text = format!("a\n{}\nb\n{}\nc", "x".repeat(MAX_RECORD + 1), ",".repeat(MAX_FIELDS + 1));
        assert_eq!(read(&text), [fields(1, &["a"]), (2, None), fields(3, &["b"]), (4, None), fields(5, &["c"])]);
        let whole = "y".repeat(MAX_RECORD);
        assert_eq!(read(&whole), [fields(1, &[&whole])]);
    }

    #[test]
    fn the_delimiter_is_guessed_by_the_header_alone() {
        for (head, delimiter) in [
            ("url,prompt\na;b;c;d", b','),
            ("url;prompt\na,b,c,d", b';'),
            ("url\tprompt", b'\t'),
            ("\"a;b;c;d\",url", b','),
            ("url", b','),
            ("", b','),
        ] {
            assert_eq!(guess_delimiter(head.as_bytes()), delimiter, "{head:?}");
        }
    }
}
