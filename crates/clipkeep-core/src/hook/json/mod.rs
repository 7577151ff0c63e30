//! JSON as providers send it, read leniently: what a Python, JavaScript or PHP
//! server writes is understood even where RFC 8259 has no word for it. What was
//! signed are the bytes, which are checked before and stay as they are.
//!
//! `NaN` and infinities are `null`; lone surrogates and bytes that are no UTF-8
//! are U+FFFD; control characters may stand in strings, and a comma behind the
//! last member. Members keep the document's order, and repeated ones are all
//! shown.

use std::borrow::Cow;

use serde_json::Value;

use crate::seed::Seed;

mod text;

/// What is nested deeper is not looked into.
const MAX_DEPTH: usize = 256;
/// `serde_json` reads no deeper than 128: what is kept as a value must not be.
const MAX_VALUE_DEPTH: usize = 96;
/// How many values of a document are looked at.
const MAX_NODES: usize = 1_000_000;

/// Why a text is no JSON, however leniently it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct JsonError {
    what: &'static str,
    at: usize,
}

/// A JSON value. Its depth is bounded, so it may be walked by recursion.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node<'a> {
    Null,
    Bool(bool),
    /// A number, as it is written.
    Number(&'a str),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    Object(Vec<(Cow<'a, str>, Self)>),
    /// Something that is not looked into: it lies too deep, or too much is before it.
    Beyond,
}

impl<'a> Node<'a> {
    /// Reads a document.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, JsonError> {
        let mut reader = Reader { bytes, at: 0, nodes: 0 };
        if bytes.starts_with(b"\xef\xbb\xbf") {
            reader.at = 3;
        }
        let node = reader.document()?;
        match reader.peek() {
            None => Ok(node),
            Some(0) if bytes[reader.at..].iter().all(|byte| *byte == 0) => Ok(node),
            Some(_) => Err(reader.wrong("something stands behind the document")),
        }
    }

    /// The first member called `key`, if this is an object.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The same with the members of every object in the order of their names,
    /// as fal's webhooks have them.
    pub(super) fn sorted(mut self) -> Self {
        self.sort();
        self
    }

    fn sort(&mut self) {
        match self {
            Self::List(items) => items.iter_mut().for_each(Self::sort),
            Self::Object(members) => {
                members.iter_mut().for_each(|(_, node)| node.sort());
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
            }
            _ => {}
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn seed(&self) -> Option<Seed> {
        match self {
            Self::Number(number) => Seed::of_json(number),
            _ => None,
        }
    }

    /// The same as a plain JSON value, in which the last of two equal keys wins.
    /// What is nested too deeply for one is `null`.
    pub(super) fn into_value(self) -> Value {
        self.valued(0)
    }

    fn valued(self, depth: usize) -> Value {
        match self {
            Self::List(_) | Self::Object(_) if depth == MAX_VALUE_DEPTH => Value::Null,
            Self::Null | Self::Beyond => Value::Null,
            Self::Bool(value) => value.into(),
            Self::Number(number) => serde_json::from_str(number)
                .ok()
                .or_else(|| number.parse::<f64>().ok().map(Value::from))
                .unwrap_or_default(),
            Self::Text(text) => text.into_owned().into(),
            Self::List(items) => items.into_iter().map(|item| item.valued(depth + 1)).collect(),
            Self::Object(members) => {
                members.into_iter().map(|(name, node)| (name.into_owned(), node.valued(depth + 1))).collect()
            }
        }
    }
}

/// A list or an object that has begun.
enum Open<'a> {
    List(Vec<Node<'a>>),
    Object { members: Vec<(Cow<'a, str>, Node<'a>)>, name: Cow<'a, str> },
}

impl<'a> Open<'a> {
    fn take(&mut self, node: Node<'a>) {
        match self {
            Self::List(items) => items.push(node),
            Self::Object { members, name } => members.push((std::mem::take(name), node)),
        }
    }

    fn close(self) -> Node<'a> {
        match self {
            Self::List(items) => Node::List(items),
            Self::Object { members, .. } => Node::Object(members),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: usize,
}

impl<'a> Reader<'a> {
    /// One value with all that is in it. The stack is a list, not the thread's.
    fn document(&mut self) -> Result<Node<'a>, JsonError> {
        let mut open: Vec<Open<'a>> = Vec::new();
        loop {
            let mut node = match self.peek() {
                Some(b'[' | b'{') if open.len() == MAX_DEPTH || self.nodes >= MAX_NODES => self.pass_over()?,
                Some(b'[') => {
                    self.at += 1;
                    open.push(Open::List(Vec::new()));
                    match self.ended(b']') {
                        false => continue,
                        true => open.pop().map_or(Node::Null, Open::close),
                    }
                }
                Some(b'{') => {
                    self.at += 1;
                    match self.ended(b'}') {
                        true => Node::Object(Vec::new()),
                        false => {
                            let name = self.name()?;
                            open.push(Open::Object { members: Vec::new(), name });
                            continue;
                        }
                    }
                }
                _ => self.scalar()?,
            };
            // Whatever ends with this value ends here.
            loop {
                self.nodes += 1;
                let Some(within) = open.last_mut() else { return Ok(node) };
                if self.nodes <= MAX_NODES {
                    within.take(node);
                } else if self.nodes == MAX_NODES + 1 {
                    within.take(Node::Beyond);
                }
                if self.goes_on(within)? {
                    break;
                }
                node = open.pop().map_or(Node::Null, Open::close);
            }
        }
    }

    /// Whether another item or member follows; reads that one's name.
    fn goes_on(&mut self, within: &mut Open<'a>) -> Result<bool, JsonError> {
        let end = if matches!(within, Open::List(_)) { b']' } else { b'}' };
        if self.ended(end) {
            return Ok(false);
        }
        if self.peek() != Some(b',') {
            return Err(self.wrong("neither a comma nor an end follows a value"));
        }
        self.at += 1;
        if self.ended(end) {
            return Ok(false);
        }
        if let Open::Object { name, .. } = within {
            *name = self.name()?;
        }
        Ok(true)
    }

    /// Passes over white space; answers what stands behind it.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.bytes.get(self.at..)?;
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
        self.at += rest.iter().position(|byte| !blank(byte)).unwrap_or(rest.len());
        self.bytes.get(self.at).copied()
    }

    fn ended(&mut self, end: u8) -> bool {
        let is_over = self.peek() == Some(end);
        self.at += usize::from(is_over);
        is_over
    }

    /// A member's name, and the colon behind it.
    fn name(&mut self) -> Result<Cow<'a, str>, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a member has no name"));
        }
        let name = self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.wrong("no colon follows a name"));
        }
        self.at += 1;
        Ok(name)
    }

    fn scalar(&mut self) -> Result<Node<'a>, JsonError> {
        match self.peek() {
            Some(b'"') => self.string().map(Node::Text),
            Some(_) => self.word(),
            None => Err(self.wrong("the document breaks off")),
        }
    }

    /// A number, or one of the words that stand for a value.
    fn word(&mut self) -> Result<Node<'a>, JsonError> {
        let rest = &self.bytes[self.at..];
        let of_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let len = rest.iter().position(|byte| !of_word(byte)).unwrap_or(rest.len());
        let word = std::str::from_utf8(&rest[..len]).unwrap_or_default();
        let node = match word {
            "null" => Node::Null,
            "true" => Node::Bool(true),
            "false" => Node::Bool(false),
            _ if is_no_number(word) => Node::Null,
            _ if is_number(word) => Node::Number(word),
            _ => return Err(self.wrong("no value stands")),
        };
        self.at += len;
        Ok(node)
    }

    /// Passes over a list or an object without looking into it.
    fn pass_over(&mut self) -> Result<Node<'a>, JsonError> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'[' | b'{') => depth += 1,
                Some(b']' | b'}') => depth -= 1,
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(_) => {}
                None => return Err(self.wrong("the document breaks off")),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(Node::Beyond);
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let start = self.at + 1;
        let (text, len) = text::read(&self.bytes[start..]).ok_or_else(|| self.wrong("a string has no end"))?;
        self.at = start + len;
        Ok(text)
    }

    const fn wrong(&self, what: &'static str) -> JsonError {
        JsonError { what, at: self.at }
    }
}

/// What Python, C++ and others write where JSON has no number.
fn is_no_number(word: &str) -> bool {
    let bare = word.strip_prefix(['-', '+']).unwrap_or(word);
    ["nan", "inf", "infinity"].iter().any(|known| bare.eq_ignore_ascii_case(known))
}

fn is_number(word: &str) -> bool {
    let of_number = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    word.bytes().all(of_number) && word.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests;
