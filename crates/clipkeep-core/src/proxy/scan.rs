//! JSON cut into strings and what lies between, as it passes.

/// A part of a document. All parts of it, one after the other, are the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes between strings.
    Plain(&'a [u8]),
    /// A whole string with its quotes, as it was written.
    Text {
        /// Its bytes.
        raw: &'a [u8],
        place: Place,
    },
    /// Some of a string that is longer than what is held.
    Part(&'a [u8]),
    /// The string is over whose parts came. It has no bytes of its own.
    End {
        /// How many bytes it had, with its quotes.
        len: u64,
        place: Place,
    },
}

/// Where a string stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Within how many objects and lists.
    pub depth: u64,
    /// Whether it is the name of an object's member.
    pub is_name: bool,
}

/// Deeper than this, names are not told from values any more. `serde_json` does
/// not read what is deeper at all.
const MAX_DEPTH: usize = 128;

/// Cuts a document. What is no JSON is cut somehow, and still passes whole.
#[derive(Debug)]
pub struct Scanner {
    max_held: usize,
    /// The string that has begun in an earlier chunk, as far as it is held.
    held: Vec<u8>,
    state: State,
    nest: Nest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Plain,
    /// Within a string; `sent` of its bytes were given away in parts.
    Text {
        is_escaped: bool,
        sent: u64,
    },
}

impl Scanner {
    /// One that gives strings of up to `max_held` bytes whole.
    pub const fn new(max_held: usize) -> Self {
        Self { max_held, held: Vec::new(), state: State::Plain, nest: Nest::new() }
    }

    /// Takes the next bytes, and gives what is complete with them.
    pub fn push(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(Piece<'_>)) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Plain => self.plain(bytes, each),
                State::Text { is_escaped, sent } => self.text(bytes, is_escaped, sent, each),
            };
        }
    }

    /// The document is over; what it broke off in the middle of is given.
    pub fn finish(&mut self, each: &mut dyn FnMut(Piece<'_>)) {
        if !self.held.is_empty() {
            each(Piece::Plain(&self.held));
        }
        self.held.clear();
        (self.state, self.nest) = (State::Plain, Nest::new());
    }

    /// Gives what stands before the next string; answers the rest.
    fn plain<'b>(&mut self, bytes: &'b [u8], each: &mut dyn FnMut(Piece<'_>)) -> &'b [u8] {
        let at = bytes.iter().position(|byte| *byte == b'"').unwrap_or(bytes.len());
        let (plain, rest) = bytes.split_at(at);
        if !plain.is_empty() {
            self.nest.pass(plain);
            each(Piece::Plain(plain));
        }
        let Some((quote, rest)) = rest.split_first() else { return rest };
        self.held.push(*quote);
        self.state = State::Text { is_escaped: false, sent: 0 };
        rest
    }

    /// Goes on with a string; answers the rest.
    fn text<'b>(&mut self, bytes: &'b [u8], is_escaped: bool, sent: u64, each: &mut dyn FnMut(Piece<'_>)) -> &'b [u8] {
        let (end, is_over, is_escaped) = end_of(bytes, is_escaped);
        let (part, rest) = bytes.split_at(end);
        let held = self.held.len() + part.len();
        if sent > 0 || held > self.max_held {
            for part in [&self.held[..], part].into_iter().filter(|part| !part.is_empty()) {
                each(Piece::Part(part));
            }
            self.held.clear();
            let sent = sent + held as u64;
            self.state = State::Text { is_escaped, sent };
            if is_over {
                self.state = State::Plain;
                each(Piece::End { len: sent, place: self.nest.place() });
            }
            return rest;
        }
        self.held.extend_from_slice(part);
        self.state = State::Text { is_escaped, sent };
        if is_over {
            self.state = State::Plain;
            each(Piece::Text { raw: &self.held, place: self.nest.place() });
            self.held.clear();
        }
        rest
    }
}

/// How far a string goes in `bytes`, whether it ends there, and whether the
/// next byte is escaped.
fn end_of(bytes: &[u8], mut is_escaped: bool) -> (usize, bool, bool) {
    let mut at = 0;
    while at < bytes.len() {
        if is_escaped {
            is_escaped = false;
            at += 1;
            continue;
        }
        let Some(next) = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
            return (bytes.len(), false, false);
        };
        at += next + 1;
        if bytes[at - 1] == b'"' {
            return (at, true, false);
        }
        is_escaped = true;
    }
    (bytes.len(), false, is_escaped)
}

/// Which objects and lists are open.
#[derive(Debug)]
struct Nest {
    /// From the outermost: whether it is an object.
    open: Vec<bool>,
    /// How many more are open within.
    beyond: u64,
    awaits_name: bool,
}

impl Nest {
    const fn new() -> Self {
        Self { open: Vec::new(), beyond: 0, awaits_name: false }
    }

    fn pass(&mut self, plain: &[u8]) {
        for byte in plain {
            match byte {
                b'{' | b'[' => self.enter(*byte == b'{'),
                b'}' | b']' => self.leave(),
                b',' => self.awaits_name = self.is_in_object(),
                b':' => self.awaits_name = false,
                _ => {}
            }
        }
    }

    fn enter(&mut self, is_object: bool) {
        if self.open.len() == MAX_DEPTH {
            self.beyond += 1;
        } else {
            self.open.push(is_object);
        }
        self.awaits_name = is_object && self.beyond == 0;
    }

    fn leave(&mut self) {
        match self.beyond {
            0 => drop(self.open.pop()),
            _ => self.beyond -= 1,
        }
        self.awaits_name = false;
    }

    fn is_in_object(&self) -> bool {
        self.beyond == 0 && self.open.last() == Some(&true)
    }

    fn place(&self) -> Place {
        Place { depth: self.open.len() as u64 + self.beyond, is_name: self.awaits_name }
    }
}
