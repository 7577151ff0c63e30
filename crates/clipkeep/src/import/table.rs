//! A table in a file, of whatever form: one row after another.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use clipkeep_core::csv::{CsvReader, MAX_RECORD, Record, guess_delimiter};
use csv::ByteRecord;

use super::{
    Form, ImportError, Options,
    field::{Cells, Columns, Field, Places},
    json::{self, LineReader},
};

/// How much of a file is looked at to tell what it is.
const SNIFFED_HEAD: usize = 64 * 1024;
/// No more unknown names are told.
const MAX_UNKNOWN_COLUMNS: usize = 64;

/// One row: where it stood, what it holds or why that cannot be read, and the
/// record itself.
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) cells: Result<Cells, String>,
    pub(super) original: Original,
}

/// A record as it stood in the file.
pub(super) enum Original {
    Csv(ByteRecord),
    Json(Vec<u8>),
    /// Too long to be kept.
    None,
}

impl Original {
    /// How much memory it takes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Csv(record) => record.as_slice().len(),
            Self::Json(line) => line.len(),
            Self::None => 0,
        }
    }
}

/// What a file of rejects must look like for its table.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Csv {
        header: Vec<String>,
        delimiter: u8,
        /// The columns that mean nothing here.
        unknown: Vec<usize>,
    },
    Json,
}

/// An open table.
pub(super) struct Table {
    input: BufReader<Counted>,
    rows: Rows,
    pub(super) shape: Shape,
    unknown: BTreeSet<String>,
    columns: Columns,
}

enum Rows {
    Csv(Box<(CsvReader, Places)>),
    Json(LineReader),
}

impl Table {
    /// Opens the file and finds its columns.
    pub(super) fn open(path: &Path, options: &Options) -> Result<Self, ImportError> {
        let unreadable = |source| ImportError::Read { path: path.to_owned(), source };
        let file = Counted { file: File::open(path).map_err(unreadable)?, read: 0 };
        let mut input = BufReader::with_capacity(SNIFFED_HEAD, file);
        let head = input.fill_buf().map_err(unreadable)?;
        if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
            return Err(ImportError::table("it is UTF-16: save it as UTF-8"));
        }
        if head.iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')).any(|byte| *byte == 0) {
            return Err(ImportError::table(
                "it holds NUL bytes where its header should be; is it UTF-16? save it as UTF-8",
            ));
        }
        let bom = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let head = &head[bom..];
        let form = form(path, head, options)?;
        let delimiter = options.delimiter.unwrap_or_else(|| guess_delimiter(head));
        let mut reader = CsvReader::new(delimiter, head);
        input.consume(bom);
        let (columns, unknown) = (options.columns.clone(), BTreeSet::new());
        if form == Form::Jsonl {
            return Ok(Self { input, rows: Rows::Json(LineReader::new()), shape: Shape::Json, unknown, columns });
        }
        let header = match reader.next(&mut input).map_err(unreadable)? {
            Some((_, Record::Read(header))) => header,
            Some((_, Record::TooLong)) => return Err(ImportError::table("its header is longer than 1 MiB")),
            Some((_, Record::Garbled(_))) => return Err(ImportError::table("text follows a quote in its header")),
            Some((_, Record::Unclosed(_))) => return Err(ImportError::table("a quote in its header is never closed")),
            None => return Err(ImportError::table("it is empty")),
        };
        let header: Vec<String> = header.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
        reader.expect(header.len());
        let names: Vec<&str> = header.iter().map(String::as_str).collect();
        let places = find(&columns, &names)?;
        let strange: Vec<usize> = (0..names.len()).filter(|at| !places.contains(&Some(*at))).collect();
        let unknown = strange.iter().map(|at| header[*at].clone()).take(MAX_UNKNOWN_COLUMNS).collect();
        let shape = Shape::Csv { header, delimiter, unknown: strange };
        Ok(Self { input, rows: Rows::Csv(Box::new((reader, places))), shape, unknown, columns })
    }

    /// How many bytes of the file were read so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.input.get_ref().read - self.input.buffer().len() as u64
    }

    /// The names of columns that mean nothing here, as far as was read.
    pub(super) fn unknown(&self) -> &BTreeSet<String> {
        &self.unknown
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Row>> {
        match &mut self.rows {
            Rows::Csv(csv) => {
                let (reader, places) = &mut **csv;
                let Some((line, record)) = reader.next(&mut self.input)? else { return Ok(None) };
                let Shape::Csv { header, .. } = &self.shape else { unreachable!("a CSV has the shape of one") };
                let (cells, record) = match record {
                    Record::Read(record) => (csv_cells(&record, header.len(), places), record),
                    Record::Unclosed(record) => (Err(UNCLOSED.to_owned()), record),
                    Record::Garbled(record) => (Err(GARBLED.to_owned()), record),
                    Record::TooLong => return Ok(Some(too_long(line))),
                };
                Ok(Some(Row { line, cells, original: Original::Csv(record) }))
            }
            Rows::Json(reader) => {
                let Some((line, record)) = reader.next(&mut self.input)? else { return Ok(None) };
                let Some(record) = record else { return Ok(Some(too_long(line))) };
                let read = json::members(&record).and_then(|members| json::cells(&self.columns, &members));
                let cells = read.map(|(cells, unknown)| {
                    let room = MAX_UNKNOWN_COLUMNS.saturating_sub(self.unknown.len());
                    self.unknown.extend(unknown.into_iter().take(room));
                    cells
                });
                Ok(Some(Row { line, cells, original: Original::Json(record) }))
            }
        }
    }
}

const UNCLOSED: &str = "opens a quote that no fitting one closes: what it would swallow is read as lines of their own";
const GARBLED: &str =
    "has text behind the quote that ends a field: quotes within one are doubled, or escaped in the table's first lines";

fn too_long(line: u64) -> Row {
    let why = format!("is longer than {} MiB, or has too many fields", MAX_RECORD >> 20);
    Row { line, cells: Err(why), original: Original::None }
}

/// What the file is: as was said, else by its ending, else by its first byte.
fn form(path: &Path, head: &[u8], options: &Options) -> Result<Form, ImportError> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
    let form = options.form.unwrap_or(match ending.as_str() {
        "csv" | "tsv" => Form::Csv,
        "jsonl" | "ndjson" => Form::Jsonl,
        _ if matches!(first, Some(b'{' | b'[')) => Form::Jsonl,
        _ => Form::Csv,
    });
    if form == Form::Jsonl && first == Some(&b'[') {
        return Err(ImportError::table("it is one JSON array: write one object a line (jq -c '.[]' does it)"));
    }
    Ok(form)
}

fn find(columns: &Columns, names: &[&str]) -> Result<Places, ImportError> {
    // What is no name is not repeated.
    if names.iter().any(|name| name.contains("://")) {
        return Err(ImportError::table("it has no header: its first line must name the columns"));
    }
    let list = || names.join(", ");
    if let Some((field, name)) = columns.said.iter().find(|(_, name)| !names.contains(&name.as_str())) {
        let problem = format!("no column is named {name:?} (for {}); there are: {}", field.name(), list());
        return Err(ImportError::table(problem));
    }
    let places = columns.places(names);
    if places[Field::Url as usize].is_none() {
        let problem = format!("no column is named url; there are: {}; hint: --column url=NAME", list());
        return Err(ImportError::table(problem));
    }
    Ok(places)
}

fn csv_cells(record: &ByteRecord, columns: usize, places: &Places) -> Result<Cells, String> {
    if record.len() != columns {
        return Err(format!("has {} fields where the header has {columns}", record.len()));
    }
    let mut cells = Cells::default();
    for (field, place) in Field::all().zip(places) {
        let Some(bytes) = place.and_then(|at| record.get(at)) else { continue };
        let text = std::str::from_utf8(bytes).map_err(|_| format!("{}: is not UTF-8", field.name()))?;
        if text.contains('\0') {
            return Err(format!("{}: holds a NUL byte", field.name()));
        }
        cells.set(field, text.to_owned());
    }
    Ok(cells)
}

/// A file that counts what is read of it.
struct Counted {
    file: File,
    read: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(name: &str, bytes: &[u8], options: &Options) -> Result<Table, ImportError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Table::open(&path, options)
    }

    fn urls(name: &str, bytes: &[u8]) -> Vec<(u64, Result<String, String>)> {
        let mut table = open(name, bytes, &Options::default()).unwrap_or_else(|error| panic!("{error}"));
        let mut all = Vec::new();
        while let Some(row) = table.next().unwrap() {
            all.push((row.line, row.cells.map(|cells| cells.text(Field::Url).unwrap_or_default().to_owned())));
        }
        all
    }

    #[test]
    fn forms_are_told_by_ending_and_by_the_first_byte() {
        let rows = [(2, Ok("a".to_owned())), (3, Ok("b".to_owned()))];
        assert_eq!(urls("x.csv", b"\xef\xbb\xbfurl\r\na\r\nb\r\n"), rows);
        assert_eq!(urls("x.tsv", b"id\tvideoUrl\n1\ta\n2\tb"), rows);
        assert_eq!(urls("x", b"\"id\";\"url\"\n1;a\n2;b"), rows);
        assert_eq!(urls("x", b" \n{\"url\": \"a\"}\n{\"url\": \"b\"}"), rows);
        assert_eq!(urls("x.ndjson", b"{}\n{\"url\": \"a\"}\n{\"url\": \"b\"}")[1..], rows);
    }

    #[test]
    fn a_row_that_does_not_fit_its_header_is_a_bad_line() {
        let rows = urls("x.csv", b"url,prompt\na\nb,c\nd,e,f\n\xff,g\nh,\xff");
        assert_eq!(rows[0].1, Err("has 1 fields where the header has 2".to_owned()));
        assert_eq!(rows[1].1, Ok("b".to_owned()));
        assert_eq!(rows[2].1, Err("has 3 fields where the header has 2".to_owned()));
        assert_eq!(rows[3].1, Err("url: is not UTF-8".to_owned()));
        assert_eq!(rows[4].1, Err("prompt: is not UTF-8".to_owned()));
    }

    #[test]
    fn what_is_no_table_says_what_to_do() {
        let refused = |bytes: &[u8]| open("x", bytes, &Options::default()).err().unwrap().to_string();
        assert!(refused(b"").contains("empty"));
        assert!(refused(b"\xff\xfeu\0").contains("UTF-16"));
        assert!(refused(b"u\0r\0l\0\n\0").contains("UTF-16"));
        assert!(refused(b"\0u\0r\0l\0\n").contains("UTF-16"));
        assert!(refused(b"url,\"prompt\na,b\n").contains("a quote in its header is never closed"));
        assert!(refused(b"[{\"url\": 1}]").contains("jq -c"));
        assert!(refused(b"id,link\n").contains("there are: id, link; hint: --column url=NAME"));
        assert!(refused(b"https://v3.fal.media/a.mp4,x\n").ends_with("its first line must name the columns"));
        let said = Options { columns: Columns { said: vec![(Field::Url, "href".into())] }, ..Options::default() };
        let refused = open("x", b"url\n", &said).err().unwrap().to_string();
        assert!(refused.contains("no column is named \"href\" (for url); there are: url"), "{refused}");
    }

    #[test]
    fn k20_what_a_quote_swallowed_stands_in_lines_of_their_own() {
        let rows = urls("x.csv", b"\xef\xbb\xbfurl,prompt\ra,\"oops\rb,2\rc\0,3\rd,4");
        assert_eq!(rows[0].1.as_ref().unwrap_err(), UNCLOSED);
        assert_eq!(rows[1], (3, Ok("b".to_owned())));
        assert_eq!(rows[2], (4, Err("url: holds a NUL byte".to_owned())));
        assert_eq!(rows[3..], [(5, Ok("d".to_owned()))]);
    }

    #[test]
    fn unknown_columns_are_named_once() {
        let mut table = open("x", b"{\"url\":1,\"b\":1}\n{\"b\":2,\"a\":1}", &Options::default()).unwrap();
        while table.next().unwrap().is_some() {}
        assert_eq!(table.unknown().iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
