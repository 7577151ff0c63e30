//! Backslashes, as MySQL and psql write them where they do not double quotes.

/// Where a backslash says something of the sign behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Escapes {
    pub(super) in_quotes: bool,
    pub(super) outside: bool,
}

impl Escapes {
    /// Of a table that begins so. In quotes they are what MySQL writes: then some
    /// quote is escaped that ends no field. Between tabs they are what psql and
    /// MySQL write, whose other lines have no quotes.
    pub(super) fn of(head: &[u8], delimiter: u8) -> Self {
        let in_quotes = escapes_quotes(head, delimiter);
        Self { in_quotes, outside: in_quotes || delimiter == b'\t' }
    }
}

fn escapes_quotes(head: &[u8], delimiter: u8) -> bool {
    let (mut is_quoted, mut at) = (false, 0);
    while let Some(&byte) = head.get(at) {
        let next = head.get(at + 1).copied();
        match (byte, next) {
            (b'\\', Some(b'"')) if is_quoted => {
                let behind = head.get(at + 2);
                if behind.is_some_and(|byte| *byte != delimiter && !matches!(byte, b'"' | b'\r' | b'\n')) {
                    return true;
                }
                // As far as is seen it ends the field.
                is_quoted = false;
                at += 1;
            }
            (b'\\', Some(b'\\')) if is_quoted => at += 1,
            (b'"', Some(b'"')) if is_quoted => at += 1,
            (b'"', _) => is_quoted = !is_quoted,
            _ => {}
        }
        at += 1;
    }
    false
}

/// What a sign behind a backslash stands for; `\N`, nothing, stays what it is.
pub(super) fn push(byte: u8, delimiter: u8, out: &mut Vec<u8>) {
    match byte {
        b'n' => out.push(b'\n'),
        b't' => out.push(b'\t'),
        b'r' => out.push(b'\r'),
        b'b' => out.push(0x08),
        b'f' => out.push(0x0c),
        b'v' => out.push(0x0b),
        b'0' => out.push(0),
        b'Z' => out.push(0x1a),
        b'\\' | b'"' | b'\'' => out.push(byte),
        _ if byte == delimiter => out.push(byte),
        _ => out.extend([b'\\', byte]),
    }
}
