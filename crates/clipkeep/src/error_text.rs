//! An error for people: with its causes, in one line.

use std::error::Error;

/// The error and its causes, from the outside in.
pub fn error_text(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
