//! What a model's input tells, read while it passes.

use serde_json::Value;

use super::{
    copy::Written,
    scan::{Piece, Place, Scanner},
};
use crate::{input::MAX_INPUT, prompt::MAX_PROMPT, seed::Seed};

/// A seed is a number of up to 20 characters; some may be white space.
const MAX_SEED: usize = 64;

/// An input on its way. Prompt and seed are its outermost members of that name,
/// found wherever they stand in however long a body.
#[derive(Debug)]
pub struct Capture {
    scanner: Scanner,
    found: Found,
}

/// What was learned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Captured {
    /// The input, long strings left out; `None` if it is no JSON.
    pub input: Option<Value>,
    pub prompt: Option<String>,
    pub seed: Option<Seed>,
    /// How many bytes the body had.
    pub len: u64,
}

#[derive(Debug)]
struct Found {
    written: Written,
    awaited: Awaited,
    prompt: Option<String>,
    seed: Option<Seed>,
}

/// The member whose value comes next.
#[derive(Debug, PartialEq)]
enum Awaited {
    Other,
    Prompt,
    Seed(Vec<u8>),
}

impl Default for Capture {
    fn default() -> Self {
        let found = Found { written: Written::new(MAX_INPUT), awaited: Awaited::Other, prompt: None, seed: None };
        Self { scanner: Scanner::new(MAX_PROMPT), found }
    }
}

impl Capture {
    /// Takes the next bytes of the body.
    pub fn push(&mut self, bytes: &[u8]) {
        let Self { scanner, found } = self;
        scanner.push(bytes, &mut |piece| found.take(piece));
    }

    /// What was learned, once the body is over.
    pub fn finish(mut self) -> Captured {
        let Self { scanner, found } = &mut self;
        scanner.finish(&mut |piece| found.take(piece));
        let Found { written, prompt, seed, .. } = self.found;
        let len = written.whole();
        Captured { input: written.into_value(), prompt, seed, len }
    }
}

impl Found {
    fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Plain(plain) => self.plain(plain),
            Piece::Text { raw, place: Place { depth: 1, is_name: true } } => self.awaited = Awaited::of(raw),
            Piece::Text { raw, place: Place { depth: 1, .. } } => {
                if self.awaited == Awaited::Prompt {
                    self.prompt = serde_json::from_slice(raw).ok();
                }
                self.awaited = Awaited::Other;
            }
            Piece::End { place: Place { depth: 1, .. }, .. } => self.awaited = Awaited::Other,
            _ => {}
        }
        self.written.take(piece);
    }

    fn plain(&mut self, plain: &[u8]) {
        for byte in plain {
            match byte {
                b'{' | b'[' => self.awaited = Awaited::Other,
                b',' | b'}' => {
                    if let Awaited::Seed(digits) = &self.awaited {
                        let text = std::str::from_utf8(digits).unwrap_or_default();
                        self.seed = Seed::of_json(text.trim());
                    }
                    self.awaited = Awaited::Other;
                }
                _ => {
                    if let Awaited::Seed(digits) = &mut self.awaited
                        && *byte != b':'
                        && digits.len() < MAX_SEED
                    {
                        digits.push(*byte);
                    }
                }
            }
        }
    }
}

impl Awaited {
    fn of(name: &[u8]) -> Self {
        match serde_json::from_slice::<String>(name).as_deref() {
            Ok("prompt") => Self::Prompt,
            Ok("seed") => Self::Seed(Vec::new()),
            _ => Self::Other,
        }
    }
}
