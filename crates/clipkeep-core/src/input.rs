//! A model's input as it is kept: JSON, bounded, shared by the clips that it
//! made.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Serialize, Serializer, de::IgnoredAny, ser::Error as _};
use serde_json::{Value, value::RawValue};

use crate::proxy::{Copy, OMITTED};

/// The longest input that is kept.
pub const MAX_INPUT: usize = 256 * 1024;

/// A model's input: the text of a JSON document. Clones share it.
#[derive(Clone, PartialEq, Eq)]
pub struct Input(Arc<str>);

impl Input {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The JSON, read.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// The same, in no more than [`MAX_INPUT`] bytes: of one that is longer the
    /// long strings are named by their length, and if that does not do, all of
    /// it is.
    #[must_use]
    pub fn bounded(&self) -> Self {
        if self.0.len() <= MAX_INPUT {
            return self.clone();
        }
        let mut copy = Copy::new(MAX_INPUT);
        copy.push(self.0.as_bytes());
        let short = copy.into_bytes().and_then(|bytes| String::from_utf8(bytes).ok());
        short.map_or_else(|| self.omitted(), |text| Self(text.into()))
    }

    /// What stands for it where it is left out.
    #[must_use]
    pub fn omitted(&self) -> Self {
        Self(format!("{{\"{OMITTED}\":{}}}", self.0.len()).into())
    }
}

impl From<Value> for Input {
    fn from(value: Value) -> Self {
        Self(value.to_string().into())
    }
}

impl FromStr for Input {
    type Err = serde_json::Error;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        serde_json::from_str::<IgnoredAny>(json)?;
        Ok(Self(json.into()))
    }
}

impl Serialize for Input {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(&self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn h07_an_input_is_kept_whole_up_to_its_bound_and_named_beyond() {
        let small = json!({"prompt": "a fox", "image": "data:,".to_owned() + &"x".repeat(100_000)});
        assert_eq!(Input::from(small.clone()).bounded().value(), small);
        let image = "data:,".to_owned() + &"x".repeat(1_800_000);
        let large = Input::from(json!({"prompt": "a fox", "image": image, "n": 1.5}));
        assert_eq!(large.bounded().value(), json!({"prompt": "a fox", "image": {OMITTED: 1_800_006}, "n": 1.5}));
        // Many small ones, and names that nothing can stand for.
        for endless in [json!(vec![0; 900_000]), json!({"x".repeat(300_000): 1}), json!(vec!["ab"; 200_000])] {
            let len = endless.to_string().len();
            assert_eq!(Input::from(endless).bounded().value(), json!({ OMITTED: len }));
        }
    }

    #[test]
    fn an_input_is_told_as_it_is_kept() {
        let input: Input = "{\"a\": [1, 2.50]}".parse().unwrap();
        assert_eq!(serde_json::to_string(&input).unwrap(), "{\"a\": [1, 2.50]}");
        assert_eq!(serde_json::to_value(&input).unwrap(), json!({"a": [1, 2.5]}));
        assert!("{".parse::<Input>().is_err());
    }
}
