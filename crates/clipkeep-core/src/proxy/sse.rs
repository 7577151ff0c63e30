//! Server-sent events, as they pass: strings replaced within their data, or
//! their data picked up.

use super::rewrite::Rewriter;

const DATA: &[u8] = b"data:";

/// Which part of a line comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Its beginning; so many bytes of `data:` are there.
    Start(usize),
    /// Behind `data:`.
    Data,
    /// Another field, or a comment.
    Other,
}

/// Finds data lines in a stream of events.
#[derive(Debug)]
struct Lines {
    at: At,
    /// Whether nothing of the line is there yet.
    is_empty: bool,
}

/// What a byte is part of.
enum Part<'a> {
    /// The JSON of an event.
    Data(&'a [u8]),
    /// Names, comments, ends of lines.
    Frame(&'a [u8]),
    /// The empty line that ends an event; its bytes came as a frame.
    EventEnd,
}

impl Lines {
    const fn new() -> Self {
        Self { at: At::Start(0), is_empty: true }
    }

    fn push(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(Part<'_>)) {
        while let Some(first) = bytes.first() {
            if matches!(first, b'\n' | b'\r') {
                each(Part::Frame(&bytes[..1]));
                // CR LF ends a line once more, which is then taken for an empty
                // one: only after a line that held something it is none.
                if self.is_empty && *first == b'\n' {
                    each(Part::EventEnd);
                }
                self.is_empty = *first == b'\n' || self.is_empty;
                self.at = At::Start(0);
                bytes = &bytes[1..];
                continue;
            }
            self.is_empty = false;
            bytes = match self.at {
                At::Start(have) => self.start(have, bytes, each),
                At::Data | At::Other => self.rest(bytes, each),
            };
        }
    }

    /// One byte of a line's beginning.
    fn start<'b>(&mut self, have: usize, bytes: &'b [u8], each: &mut dyn FnMut(Part<'_>)) -> &'b [u8] {
        self.at = match (bytes[0] == DATA[have], have + 1 == DATA.len()) {
            (true, true) => At::Data,
            (true, false) => At::Start(have + 1),
            (false, _) => At::Other,
        };
        each(Part::Frame(&bytes[..1]));
        &bytes[1..]
    }

    fn rest<'b>(&mut self, bytes: &'b [u8], each: &mut dyn FnMut(Part<'_>)) -> &'b [u8] {
        let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
        let (line, rest) = bytes.split_at(end);
        each(if self.at == At::Data { Part::Data(line) } else { Part::Frame(line) });
        rest
    }
}

/// Replaces strings within events' data.
pub struct SseRewriter<F> {
    lines: Lines,
    json: Rewriter<F>,
}

impl<F: Fn(&str) -> Option<String>> SseRewriter<F> {
    /// One that puts what `replace` answers in place of a string.
    pub const fn new(replace: F) -> Self {
        Self { lines: Lines::new(), json: Rewriter::new(replace) }
    }

    /// Takes the next bytes; writes what follows from them. Nothing of a whole
    /// event is held back.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Self { lines, json } = self;
        lines.push(bytes, &mut |part| match part {
            Part::Data(data) => json.push(data, out),
            Part::Frame(frame) => {
                // No string goes over the end of a line.
                if matches!(frame, b"\n" | b"\r") {
                    json.finish(out);
                }
                out.extend_from_slice(frame);
            }
            Part::EventEnd => {}
        });
    }

    /// The stream is over: writes what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.json.finish(out);
    }
}

/// An event of a stream, or some of a long one.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// All of it.
    Whole {
        /// As it came, with the empty line that ends it.
        raw: Vec<u8>,
        /// Its data, if it has any.
        data: Option<Vec<u8>>,
    },
    /// Some of one that is longer than what is held.
    Part(Vec<u8>),
}

/// Cuts a stream into its events. All of them, and the rest, are the stream.
#[derive(Debug)]
pub struct Events {
    lines: Lines,
    now: Now,
}

/// The event that has begun.
#[derive(Debug)]
struct Now {
    max: usize,
    raw: Vec<u8>,
    data: Option<Vec<u8>>,
    is_long: bool,
}

impl Events {
    /// Events of up to `max` bytes are given whole.
    pub const fn new(max: usize) -> Self {
        Self { lines: Lines::new(), now: Now { max, raw: Vec::new(), data: None, is_long: false } }
    }

    /// Takes the next bytes; gives the events that end with them.
    pub fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(Event)) {
        let Self { lines, now } = self;
        lines.push(bytes, &mut |part| now.take(part, each));
        if now.is_long && !now.raw.is_empty() {
            each(Event::Part(std::mem::take(&mut now.raw)));
        }
    }

    /// What stands behind the last event's end.
    pub fn into_rest(self) -> Vec<u8> {
        self.now.raw
    }
}

impl Now {
    fn take(&mut self, part: Part<'_>, each: &mut dyn FnMut(Event)) {
        match part {
            Part::Frame(bytes) => self.raw.extend_from_slice(bytes),
            Part::Data(bytes) => {
                self.raw.extend_from_slice(bytes);
                if !self.is_long {
                    self.data.get_or_insert_default().extend_from_slice(bytes);
                }
            }
            Part::EventEnd => {
                let (raw, data) = (std::mem::take(&mut self.raw), self.data.take());
                each(if self.is_long { Event::Part(raw) } else { Event::Whole { raw, data } });
                self.is_long = false;
            }
        }
        self.is_long |= self.raw.len() > self.max;
    }
}
