//! CSV, record by record, in bounded memory whatever the file holds, and without
//! losing a line to a quote that is never closed.
//!
//! A record ends with its line, unless a quoted field runs on into the next one. One
//! that did so and then turns out to be none (the quote is never closed, text
//! follows it, the number of fields is wrong, it is too long) is not believed: its
//! first line is bad, and reading goes on with the line after that. Since it ends
//! where it has more fields than the header, no line is read again and again.
//!
//! Databases escape with backslashes where they do not double quotes (`escape`).

use std::{
    collections::VecDeque,
    io::{self, BufRead},
};

use csv::ByteRecord;

mod escape;

use self::escape::Escapes;

pub const MAX_RECORD: usize = 1 << 20;
/// No table has more columns.
const MAX_FIELDS: usize = 4096;

/// The delimiters that are guessed.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// Reads records off whatever holds a table.
#[derive(Debug)]
pub struct CsvReader {
    delimiter: u8,
    escapes: Escapes,
    /// The number of the line that is read next, from 1.
    line: u64,
    /// How many fields a record has, once the header was read.
    fields: Option<usize>,
    /// Lines that were read and belong to no record after all.
    again: VecDeque<Line>,
}

/// A record, or what stands in the place of one.
#[derive(Debug)]
pub enum Record {
    Read(ByteRecord),
    /// One with a quote that is not closed: its line alone, read as a record of its own.
    Unclosed(ByteRecord),
    /// One with text behind a quote that closes a field: what it says is not known.
    Garbled(ByteRecord),
    /// One that is too long, or has too many fields.
    TooLong,
}

/// A line with its end. Of one that is too long nothing is kept.
#[derive(Debug)]
enum Line {
    Kept(Vec<u8>),
    TooLong,
}

impl CsvReader {
    /// A reader at the first line, of fields between which this stands, in a table
    /// that begins so.
    pub fn new(delimiter: u8, head: &[u8]) -> Self {
        Self { delimiter, escapes: Escapes::of(head, delimiter), line: 1, fields: None, again: VecDeque::new() }
    }

    /// Records have as many fields as this one.
    pub fn expect(&mut self, fields: usize) {
        self.fields = Some(fields);
    }

    /// The next record and the line it begins on. Blank lines are no records.
    ///
    /// # Errors
    /// If the input cannot be read.
    pub fn next(&mut self, input: &mut impl BufRead) -> io::Result<Option<(u64, Record)>> {
        loop {
            let began = self.line;
            let Some(line) = self.read(input)? else { return Ok(None) };
            self.line += 1;
            match line {
                Line::Kept(line) if line.iter().all(|byte| matches!(byte, b'\r' | b'\n')) => {}
                Line::Kept(line) => return Ok(Some((began, self.record(line, input)?))),
                Line::TooLong => return Ok(Some((began, Record::TooLong))),
            }
        }
    }

    /// The record that begins with this line.
    fn record(&mut self, line: Vec<u8>, input: &mut impl BufRead) -> io::Result<Record> {
        let mut parser = Parser::new(self.delimiter, self.escapes);
        parser.feed(&line);
        let (mut len, mut more) = (line.len(), Vec::new());
        let most = self.fields.unwrap_or(MAX_FIELDS);
        while parser.is_open() {
            let may_run_on = !parser.is_garbled && parser.ends.len() < most;
            match self.read(input)? {
                Some(Line::Kept(next)) if len + next.len() <= MAX_RECORD && may_run_on => {
                    parser.feed(&next);
                    len += next.len();
                    more.push(Line::Kept(next));
                }
                next => {
                    more.extend(next);
                    return Ok(self.only_first(&line, more));
                }
            }
        }
        let is_one = !parser.is_garbled && self.fields.is_none_or(|fields| fields == parser.ends.len());
        if !more.is_empty() && !is_one {
            return Ok(self.only_first(&line, more));
        }
        self.line += more.len() as u64;
        Ok(match parser.record() {
            _ if parser.ends.len() > MAX_FIELDS => Record::TooLong,
            record if parser.is_garbled => Record::Garbled(record),
            record => Record::Read(record),
        })
    }

    /// What follows the first line is read once more, by itself.
    fn only_first(&mut self, line: &[u8], more: Vec<Line>) -> Record {
        more.into_iter().rev().for_each(|line| self.again.push_front(line));
        let mut parser = Parser::new(self.delimiter, self.escapes);
        split_end(line).0.iter().for_each(|byte| parser.step(*byte));
        parser.end_field();
        Record::Unclosed(parser.record())
    }

    fn read(&mut self, input: &mut impl BufRead) -> io::Result<Option<Line>> {
        match self.again.pop_front() {
            Some(line) => Ok(Some(line)),
            None => read_line(input),
        }
    }
}

/// A line up to and with its end: LF, CR LF, or CR alone.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Line>> {
    let (mut line, mut any, mut too_long) = (Vec::new(), false, false);
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            break;
        }
        any = true;
        let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let part = &bytes[..end.map_or(bytes.len(), |end| end + 1)];
        too_long |= line.len() + part.len() > MAX_RECORD + 2;
        if !too_long {
            line.extend_from_slice(part);
        }
        let (taken, is_cr) = (part.len(), end.is_some_and(|end| bytes[end] == b'\r'));
        input.consume(taken);
        if is_cr && input.fill_buf()?.first() == Some(&b'\n') {
            input.consume(1);
            line.push(b'\n');
        }
        if end.is_some() {
            break;
        }
    }
    Ok(any.then_some(if too_long { Line::TooLong } else { Line::Kept(line) }))
}

/// Where in a field the parser is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Plain,
    Quoted,
    /// Behind a quote in a quoted field: its end, or the first of two.
    Quote,
}

/// One record's fields, gathered line by line.
struct Parser {
    delimiter: u8,
    escapes: Escapes,
    out: Vec<u8>,
    ends: Vec<usize>,
    at: At,
    was_quoted: bool,
    /// Whether a backslash is the last sign.
    is_escaped: bool,
    /// Whether text follows a field's closing quote.
    is_garbled: bool,
}

impl Parser {
    const fn new(delimiter: u8, escapes: Escapes) -> Self {
        Self {
            delimiter,
            escapes,
            out: Vec::new(),
            ends: Vec::new(),
            at: At::Start,
            was_quoted: false,
            is_escaped: false,
            is_garbled: false,
        }
    }

    /// Whether a field runs on.
    fn is_open(&self) -> bool {
        self.at == At::Quoted || self.is_escaped
    }

    fn feed(&mut self, line: &[u8]) {
        let (text, end) = split_end(line);
        text.iter().for_each(|byte| self.step(*byte));
        if self.is_open() {
            self.is_escaped = false;
            self.out.extend_from_slice(end);
        } else {
            self.end_field();
        }
    }

    fn step(&mut self, byte: u8) {
        if std::mem::take(&mut self.is_escaped) {
            return escape::push(byte, self.delimiter, &mut self.out);
        }
        match self.at {
            At::Quoted if byte == b'\\' && self.escapes.in_quotes => self.is_escaped = true,
            At::Start | At::Plain if byte == b'\\' && self.escapes.outside => {
                (self.at, self.is_escaped) = (At::Plain, true);
            }
            At::Quoted if byte == b'"' => self.at = At::Quote,
            At::Quoted => self.out.push(byte),
            At::Quote if byte == b'"' => {
                self.out.push(byte);
                self.at = At::Quoted;
            }
            At::Start if byte == b'"' => (self.at, self.was_quoted) = (At::Quoted, true),
            _ if byte == self.delimiter => self.end_field(),
            // No text, but what people put between a quote and a comma.
            At::Quote if byte == b' ' => {}
            at => {
                self.is_garbled |= at == At::Quote;
                self.out.push(byte);
                self.at = At::Plain;
            }
        }
    }

    fn end_field(&mut self) {
        let start = self.ends.last().copied().unwrap_or_default();
        if is_null(&self.out[start..], self.was_quoted) {
            self.out.truncate(start);
        }
        self.ends.push(self.out.len());
        (self.at, self.was_quoted) = (At::Start, false);
    }

    fn record(&self) -> ByteRecord {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.out[start..*end]).collect()
    }
}

/// How databases write that there is nothing: MySQL and psql as `\N`, escaped once
/// more by some tools, and both as a bare `NULL`. In quotes that is a text, as
/// MySQL's documentation has it.
fn is_null(field: &[u8], was_quoted: bool) -> bool {
    match field.trim_ascii() {
        b"\\N" | b"\\\\N" => true,
        b"NULL" => !was_quoted,
        _ => false,
    }
}

fn split_end(line: &[u8]) -> (&[u8], &[u8]) {
    let ends = line.iter().rev().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    line.split_at(line.len() - ends)
}

/// The delimiter of a table whose file begins so: which of the known ones
/// stands most often in the header, outside of quotes.
pub fn guess_delimiter(head: &[u8]) -> u8 {
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
mod tests;
