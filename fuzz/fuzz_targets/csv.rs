//! Tables to import: each line is of one record, in order, however the bytes come.
#![no_main]

use std::io::BufReader;

use clipkeep_core::csv::{CsvReader, Record, guess_delimiter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&[u8], u8)| {
    let (bytes, buffer) = data;
    let at_once = read(bytes, bytes.len());
    assert_eq!(read(bytes, usize::from(buffer)), at_once);
    let lines: Vec<u64> = at_once.iter().map(|(line, _)| *line).collect();
    assert!(lines.is_sorted_by(|a, b| a < b));
    // Each record takes a byte at least, and none is made of thin air.
    let fields = at_once.iter().flat_map(|(_, fields)| fields);
    assert!(fields.map(Vec::len).sum::<usize>() <= bytes.len() && at_once.len() <= bytes.len());
});

/// The records of a table: their lines and fields, as through a buffer of this size.
fn read(bytes: &[u8], buffer: usize) -> Vec<(u64, Vec<Vec<u8>>)> {
    let mut input = BufReader::with_capacity(buffer.max(1), bytes);
    let mut reader = CsvReader::new(guess_delimiter(bytes), bytes);
    let mut all = Vec::new();
    while let Some((line, record)) = reader.next(&mut input).expect("bytes in memory can be read") {
        let fields: Vec<Vec<u8>> = match record {
            Record::Read(record) | Record::Unclosed(record) | Record::Garbled(record) => {
                record.iter().map(<[u8]>::to_vec).collect()
            }
            Record::TooLong => Vec::new(),
        };
        if all.is_empty() {
            reader.expect(fields.len());
        }
        all.push((line, fields));
    }
    all
}
