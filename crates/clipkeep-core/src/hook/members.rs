//! The members of a webhook's body, each read once.

use super::{DecodeError, json::Node};

/// An object's members. What is taken out twice over is refused: readers would
/// differ on which counts.
pub(super) struct Members(Vec<(String, Node)>);

impl Members {
    /// The members of a body that is a JSON object.
    pub(super) fn read(body: &[u8]) -> Result<Self, DecodeError> {
        match serde_json::from_slice(body).map_err(DecodeError::NotJson)? {
            Node::Object(members) => Ok(Self(members)),
            _ => Err(DecodeError::NotAnObject),
        }
    }

    /// The members of an object within the body, under this name.
    pub(super) fn below(&mut self, name: &'static str) -> Result<Self, DecodeError> {
        match self.take(name)? {
            Some(Node::Object(members)) => Ok(Self(members)),
            _ => Err(DecodeError::BadField(name)),
        }
    }

    /// Takes a member out, if it is there; it may be `null`.
    pub(super) fn take(&mut self, name: &'static str) -> Result<Option<Node>, DecodeError> {
        let mut places = self.0.iter().enumerate().filter(|(_, (key, _))| key == name).map(|(place, _)| place);
        let Some(place) = places.next() else { return Ok(None) };
        match places.next() {
            None => Ok(Some(self.0.remove(place).1)),
            Some(_) => Err(DecodeError::RepeatedField(name)),
        }
    }

    /// The same where `null` is as good as absent.
    pub(super) fn present(&mut self, name: &'static str) -> Result<Option<Node>, DecodeError> {
        Ok(self.take(name)?.filter(|node| !matches!(node, Node::Null)))
    }

    /// The same for a text.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, DecodeError> {
        match self.present(name)? {
            None => Ok(None),
            Some(Node::Text(text)) => Ok(Some(text)),
            Some(_) => Err(DecodeError::BadField(name)),
        }
    }

    /// The same for a text that must be there.
    pub(super) fn must(&mut self, name: &'static str) -> Result<String, DecodeError> {
        self.text(name)?.ok_or(DecodeError::BadField(name))
    }
}
