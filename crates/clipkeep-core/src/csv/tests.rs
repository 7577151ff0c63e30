use std::io::BufReader;

use super::*;

/// What was read: the line, and the fields or why there are none.
type Read = (u64, Result<Vec<String>, &'static str>);

fn texts(record: &ByteRecord) -> Vec<String> {
    record.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect()
}

/// Records of a text read through a buffer so small that everything is cut.
fn read(text: &str) -> Vec<Read> {
    let mut input = BufReader::with_capacity(3, text.as_bytes());
    let mut reader = CsvReader::new(guess_delimiter(text.as_bytes()), text.as_bytes());
    let mut all = Vec::new();
    while let Some((line, record)) = reader.next(&mut input).unwrap() {
        let fields = match record {
            Record::Read(record) => {
                reader.expect(reader.fields.unwrap_or(record.len()));
                Ok(texts(&record))
            }
            Record::Unclosed(record) => Err(["unclosed", "unclosed, cut"][usize::from(record.len() > 2)]),
            Record::Garbled(_) => Err("garbled"),
            Record::TooLong => Err("too long"),
        };
        all.push((line, fields));
    }
    all
}

fn fields(line: u64, fields: &[&str]) -> Read {
    (line, Ok(fields.iter().map(|field| (*field).to_owned()).collect()))
}

#[test]
fn nasty_tables_are_read_as_they_are_meant() {
    let text = "a,b\r\n1,\"x, \"\"y\"\"\nsecond line\"\r\n\r\n\n,\n\"\",c\"d\n\"e\"f,g\nh,\"i\"";
    let expected = [
        fields(1, &["a", "b"]),
        fields(2, &["1", "x, \"y\"\nsecond line"]),
        fields(6, &["", ""]),
        fields(7, &["", "c\"d"]),
        (8, Err("garbled")),
        fields(9, &["h", "i"]),
    ];
    assert_eq!(read(text), expected);
    assert!(read("").is_empty() && read("\r\n\n").is_empty());
}

#[test]
fn k20_a_quote_that_is_never_closed_costs_its_own_line_alone() {
    let bad = |line| (line, Err("unclosed"));
    for (text, expected) in [
        // The last quote.
        (
            "u,p\na,1\nb,\"oops\nc,3\nd,4",
            vec![fields(2, &["a", "1"]), bad(3), fields(4, &["c", "3"]), fields(5, &["d", "4"])],
        ),
        ("u,p\na,1\nb,\"oops", vec![fields(2, &["a", "1"]), bad(3)]),
        ("u,p\na,\"oops\n", vec![bad(2)]),
        // One in the middle that a later field's quote closes.
        ("u,p\na,\"oops\nb,\"2\"\nc,3\n", vec![bad(2), fields(3, &["b", "2"]), fields(4, &["c", "3"])]),
        // By chance at the end of a field: then the number of fields tells.
        ("u,p\na,\"oops\nb,2\",x\nc,3\n", vec![bad(2), fields(3, &["b", "2\"", "x"]), fields(4, &["c", "3"])]),
        // Two of them.
        ("u,p\na,\"x\nb,2\nc,\"y\nd,4\n", vec![bad(2), fields(3, &["b", "2"]), bad(4), fields(5, &["d", "4"])]),
        // Blank lines in between keep their numbers.
        ("u,p\n\na,\"x\n\nb,2\n", vec![bad(3), fields(5, &["b", "2"])]),
    ] {
        assert_eq!(read(text)[1..], expected, "{text:?}");
    }
}

#[test]
fn k20_lines_end_as_they_do() {
    let expected = [fields(1, &["u", "p"]), fields(2, &["a", "1"]), fields(3, &["b", "2"])];
    for text in ["u,p\ra,1\rb,2\r", "u,p\r\na,1\r\nb,2", "u,p\na,1\nb,2\n", "u,p\ra,1\r\nb,2"] {
        assert_eq!(read(text), expected, "{text:?}");
    }
}

#[test]
fn k20_what_a_quote_swallows_is_bounded_and_read_again() {
    let rows = "b,2\n".repeat(MAX_RECORD / 2);
    let all = read(&format!("u,p\na,\"oops\n{rows}"));
    assert_eq!(all.len(), 2 + MAX_RECORD / 2);
    assert_eq!(
        (&all[1], &all[2], all.last().unwrap().0),
        (&(2, Err("unclosed")), &fields(3, &["b", "2"]), 2 + MAX_RECORD as u64 / 2)
    );
}

#[test]
fn k20_quotes_that_open_on_each_line_are_not_read_on_from_each() {
    // As its own line each is open; behind another it closes a field and opens the next.
    let lines = 60_000;
    let (began, all) = (std::time::Instant::now(), read(&format!("u,p,q\n{}", "a\",\"\n".repeat(lines))));
    assert_eq!(all.len(), lines + 1);
    assert!(all[1..].iter().all(|(_, fields)| fields.is_err()));
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
}

#[test]
fn k21_nulls_of_databases_are_empty_in_each_column() {
    for (text, expected) in [
        ("NULL,\\N", ["", ""]),
        ("\\\\N,NULL", ["", ""]),
        (" NULL ,\"\\N\"", ["", ""]),
        // A text, and names that only look like it.
        ("\"NULL\",null", ["NULL", "null"]),
        ("NULLs,a NULL", ["NULLs", "a NULL"]),
    ] {
        assert_eq!(read(&format!("u,p\n{text}\n"))[1], fields(2, &expected), "{text}");
    }
}

#[test]
fn d12_text_behind_a_closing_quote_is_a_bad_line() {
    for line in ["\"a\"b,1", "a,\"say \"hi\" now\"", "a,\"b\"c\"\""] {
        assert_eq!(
            read(&format!("u,p\n{line}\nc,\"3\" \n")),
            [fields(1, &["u", "p"]), (2, Err("garbled")), fields(3, &["c", "3"])]
        );
    }
}

#[test]
fn d12_backslashes_are_understood_where_the_table_uses_them() {
    // MySQL: INTO OUTFILE … OPTIONALLY ENCLOSED BY '"'.
    let text = "u,p\n\"a\",\"say \\\"hi\\\" now\"\n\"b\\\\c\",\"two\\\nlines\"\nc,\\N\n";
    let expected = [
        fields(1, &["u", "p"]),
        fields(2, &["a", "say \"hi\" now"]),
        fields(3, &["b\\c", "two\nlines"]),
        fields(5, &["c", ""]),
    ];
    assert_eq!(read(text), expected);
    // In a table that doubles its quotes a backslash is one.
    let text = "u,p\n\"C:\\\",\"a \"\"b\\\"\"\"\nc:\\new,\"\\n\"\n";
    assert_eq!(read(text), [fields(1, &["u", "p"]), fields(2, &["C:\\", "a \"b\\\""]), fields(3, &["c:\\new", "\\n"])]);
    // Between tabs, as psql's COPY and MySQL's batch mode write them.
    let text = "u\tp\na\tone\\ntwo\\tthree\\\\n\nb\t\\N\nc\t{\"a\": \"x\\\\ny\"}\nd\t\"\\n\"\ne\t\\d\n";
    let expected = [
        fields(1, &["u", "p"]),
        fields(2, &["a", "one\ntwo\tthree\\n"]),
        fields(3, &["b", ""]),
        fields(4, &["c", "{\"a\": \"x\\ny\"}"]),
        // In quotes it is not theirs.
        fields(5, &["d", "\\n"]),
        fields(6, &["e", "\\d"]),
    ];
    assert_eq!(read(text), expected);
}

#[test]
fn a_record_that_is_too_long_is_passed_over() {
    let text = format!("a\n{}\nb\n{}\nc", "x".repeat(MAX_RECORD + 3), ",".repeat(MAX_FIELDS + 1));
    assert_eq!(
        read(&text),
        [fields(1, &["a"]), (2, Err("too long")), fields(3, &["b"]), (4, Err("too long")), fields(5, &["c"])]
    );
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
