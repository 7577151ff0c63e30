//! Parquet, as far as a flat table of clips needs it: optional columns, plain
//! values, no compression, one page per column and row group. The official crate
//! brings eighteen others along, for formats that are not written here.

use super::columns::{COLUMNS, Cell, Kind};
use crate::dto::ClipRow;

/// A row group is written once it holds so many bytes, or rows.
const GROUP_BYTES: usize = 16 * 1024 * 1024;
const GROUP_ROWS: usize = 100_000;
/// Seeds are decimals of this many bytes and digits: no integer of Parquet has
/// both their ends.
const SEED_BYTES: usize = 9;
const SEED_DIGITS: i64 = 20;
const MAGIC: &[u8; 4] = b"PAR1";

// The format's numbers (parquet.thrift).
const PLAIN: i64 = 0;
const RLE: i64 = 3;
const OPTIONAL: i64 = 1;
const UTF8: i64 = 0;
const DECIMAL: i64 = 5;
const TIMESTAMP_MILLIS: i64 = 9;

/// A file on its way.
#[derive(Default)]
pub(super) struct Writer {
    begun: bool,
    /// Bytes written so far.
    at: usize,
    columns: Vec<Values>,
    rows: usize,
    groups: Vec<Group>,
}

/// One column of the row group that is being gathered.
#[derive(Default)]
struct Values {
    /// One bit per row: whether there is a value.
    there: Bits,
    plain: Vec<u8>,
    flags: Bits,
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

/// A row group that is written.
struct Group {
    rows: usize,
    /// Where each column's page begins, and how long it is with its header.
    pages: Vec<(usize, usize)>,
}

impl Writer {
    /// The next bytes of the file; with its end, if these rows are the last.
    pub(super) fn piece(&mut self, rows: &[ClipRow], last: bool) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.begun {
            self.begun = true;
            self.columns.resize_with(COLUMNS.len(), Values::default);
            out.extend(MAGIC);
        }
        for row in rows {
            for (values, column) in self.columns.iter_mut().zip(COLUMNS) {
                values.push((column.of)(row));
            }
            self.rows += 1;
        }
        let bytes: usize = self.columns.iter().map(|values| values.plain.len()).sum();
        if self.rows > 0 && (last || bytes >= GROUP_BYTES || self.rows >= GROUP_ROWS) {
            self.end_group(&mut out);
        }
        if last {
            let footer = self.footer();
            out.extend(&footer);
            out.extend(&(footer.len() as u32).to_le_bytes());
            out.extend(MAGIC);
        }
        self.at += out.len();
        out
    }

    fn end_group(&mut self, out: &mut Vec<u8>) {
        let rows = std::mem::take(&mut self.rows);
        let mut pages = Vec::with_capacity(COLUMNS.len());
        for values in &mut self.columns {
            let begin = self.at + out.len();
            std::mem::take(values).page(rows, out);
            pages.push((begin, self.at + out.len() - begin));
        }
        self.groups.push(Group { rows, pages });
    }

    fn footer(&self) -> Vec<u8> {
        let mut thrift = Thrift::default();
        thrift.int(1, 1);
        thrift.list(2, STRUCT, COLUMNS.len() + 1);
        thrift.element(|root| {
            root.text(4, "clips");
            root.int(5, COLUMNS.len() as i64);
        });
        for column in COLUMNS {
            thrift.element(|element| schema(element, column.name, column.kind));
        }
        thrift.long(3, self.groups.iter().map(|group| group.rows as i64).sum());
        thrift.list(4, STRUCT, self.groups.len());
        for group in &self.groups {
            thrift.element(|element| group.describe(element));
        }
        thrift.text(6, concat!("clipkeep version ", env!("CARGO_PKG_VERSION")));
        thrift.end()
    }
}

fn schema(thrift: &mut Thrift, name: &str, kind: Kind) {
    thrift.int(1, physical(kind));
    if kind == Kind::Seed {
        thrift.int(2, SEED_BYTES as i64);
    }
    thrift.int(3, OPTIONAL);
    thrift.text(4, name);
    match kind {
        Kind::Text => {
            thrift.int(6, UTF8);
            thrift.inner(10, |logical| logical.inner(1, |_| {}));
        }
        Kind::Time => {
            thrift.int(6, TIMESTAMP_MILLIS);
            thrift.inner(10, |logical| {
                logical.inner(8, |timestamp| {
                    timestamp.yes(1);
                    timestamp.inner(2, |unit| unit.inner(1, |_| {}));
                });
            });
        }
        Kind::Seed => {
            thrift.int(6, DECIMAL);
            thrift.int(7, 0);
            thrift.int(8, SEED_DIGITS);
            thrift.inner(10, |logical| {
                logical.inner(5, |decimal| {
                    decimal.int(1, 0);
                    decimal.int(2, SEED_DIGITS);
                });
            });
        }
        Kind::Int | Kind::Real | Kind::Flag => {}
    }
}

fn physical(kind: Kind) -> i64 {
    match kind {
        Kind::Flag => 0,
        Kind::Int | Kind::Time => 2,
        Kind::Real => 5,
        Kind::Text => 6,
        Kind::Seed => 7,
    }
}

impl Group {
    fn describe(&self, thrift: &mut Thrift) {
        thrift.list(1, STRUCT, COLUMNS.len());
        for (column, (begin, bytes)) in COLUMNS.iter().zip(&self.pages) {
            let (begin, bytes) = (*begin as i64, *bytes as i64);
            thrift.element(|chunk| {
                chunk.long(2, begin);
                chunk.inner(3, |meta| {
                    meta.int(1, physical(column.kind));
                    meta.list(2, I32, 2);
                    meta.bare(PLAIN);
                    meta.bare(RLE);
                    meta.list(3, BINARY, 1);
                    meta.bare_text(column.name);
                    meta.int(4, 0);
                    meta.long(5, self.rows as i64);
                    meta.long(6, bytes);
                    meta.long(7, bytes);
                    meta.long(9, begin);
                });
            });
        }
        thrift.long(2, self.pages.iter().map(|(_, bytes)| *bytes as i64).sum());
        thrift.long(3, self.rows as i64);
    }
}

impl Values {
    fn push(&mut self, cell: Option<Cell>) {
        self.there.push(cell.is_some());
        match cell {
            None => {}
            Some(Cell::Text(text)) => {
                self.plain.extend(&(text.len() as u32).to_le_bytes());
                self.plain.extend(text.as_bytes());
            }
            Some(Cell::Int(number) | Cell::Time(number)) => self.plain.extend(&number.to_le_bytes()),
            Some(Cell::Seed(seed)) => {
                let bytes = seed.get().to_be_bytes();
                self.plain.extend(&bytes[bytes.len() - SEED_BYTES..]);
            }
            Some(Cell::Real(number)) => self.plain.extend(&number.to_le_bytes()),
            Some(Cell::Flag(flag)) => self.flags.push(flag),
        }
    }

    /// Writes its page: header, which rows have a value, the values.
    fn page(self, rows: usize, out: &mut Vec<u8>) {
        // One bit-packed run of the hybrid encoding, behind its length.
        let mut run = Vec::new();
        varint((self.there.bytes.len() as u64) << 1 | 1, &mut run);
        run.extend(&self.there.bytes);
        let size = (4 + run.len() + self.plain.len() + self.flags.bytes.len()) as i64;
        let mut header = Thrift::default();
        header.int(1, 0);
        header.int(2, size);
        header.int(3, size);
        header.inner(5, |data| {
            data.int(1, rows as i64);
            data.int(2, PLAIN);
            data.int(3, RLE);
            data.int(4, RLE);
        });
        out.extend(header.end());
        out.extend(&(run.len() as u32).to_le_bytes());
        out.extend(run);
        out.extend(self.plain);
        out.extend(self.flags.bytes);
    }
}

impl Bits {
    fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(byte) = self.bytes.last_mut() {
            *byte |= u8::from(bit) << (self.len % 8);
        }
        self.len += 1;
    }
}

const TRUE: u8 = 1;
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// A struct in Thrift's compact protocol.
#[derive(Default)]
struct Thrift {
    bytes: Vec<u8>,
    last: u8,
}

impl Thrift {
    /// Fields come in rising order, no two further apart than fifteen.
    fn field(&mut self, id: u8, kind: u8) {
        self.bytes.push((id - self.last) << 4 | kind);
        self.last = id;
    }

    fn int(&mut self, id: u8, number: i64) {
        self.field(id, I32);
        self.bare(number);
    }

    fn long(&mut self, id: u8, number: i64) {
        self.field(id, I64);
        self.bare(number);
    }

    fn yes(&mut self, id: u8) {
        self.field(id, TRUE);
    }

    fn text(&mut self, id: u8, text: &str) {
        self.field(id, BINARY);
        self.bare_text(text);
    }

    fn list(&mut self, id: u8, kind: u8, len: usize) {
        self.field(id, LIST);
        if len < 15 {
            self.bytes.push((len as u8) << 4 | kind);
        } else {
            self.bytes.push(0xf0 | kind);
            varint(len as u64, &mut self.bytes);
        }
    }

    fn inner(&mut self, id: u8, write: impl FnOnce(&mut Self)) {
        self.field(id, STRUCT);
        self.element(write);
    }

    /// A struct in a list.
    fn element(&mut self, write: impl FnOnce(&mut Self)) {
        let outer = std::mem::take(&mut self.last);
        write(self);
        self.bytes.push(0);
        self.last = outer;
    }

    /// A number in a list.
    fn bare(&mut self, number: i64) {
        varint(((number << 1) ^ (number >> 63)) as u64, &mut self.bytes);
    }

    /// A text in a list.
    fn bare_text(&mut self, text: &str) {
        varint(text.len() as u64, &mut self.bytes);
        self.bytes.extend(text.as_bytes());
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
