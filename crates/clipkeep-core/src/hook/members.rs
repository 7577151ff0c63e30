//! The members of a webhook's body, each read once.

use std::borrow::Cow;

use super::{DecodeError, json::Node};

/// An object's members. What is taken out and said twice in different ways is
/// refused: readers would differ on which counts.
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'a> Members<'a> {
    /// The members of a body that is a JSON object.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        match Node::read(body).map_err(DecodeError::NotJson)? {
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
    pub(super) fn take(&mut self, name: &'static str) -> Result<Option<Node<'a>>, DecodeError> {
        let Some(place) = self.0.iter().position(|(key, _)| key == name) else { return Ok(None) };
        let (_, node) = self.0.remove(place);
        match self.0.iter().all(|(key, other)| key != name || *other == node) {
            true => Ok(Some(node)),
            false => Err(DecodeError::RepeatedField(name)),
        }
    }

    /// The same where `null` is as good as absent.
    pub(super) fn present(&mut self, name: &'static str) -> Result<Option<Node<'a>>, DecodeError> {
        Ok(self.take(name)?.filter(|node| !matches!(node, Node::Null)))
    }

    /// The same for a text.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, DecodeError> {
        match self.present(name)? {
            None => Ok(None),
            Some(Node::Text(text)) => Ok(Some(text.into_owned())),
            Some(_) => Err(DecodeError::BadField(name)),
        }
    }

    /// The same for what a result is kept without: what is no text, or is said in
    /// two ways, counts as absent.
    pub(super) fn fact(&mut self, name: &'static str) -> Option<String> {
        self.text(name).ok().flatten()
    }

    /// What was not taken out.
    pub(super) fn rest(self) -> Node<'a> {
        Node::Object(self.0)
    }

    /// The same for a text that must be there.
    pub(super) fn must(&mut self, name: &'static str) -> Result<String, DecodeError> {
        self.text(name)?.ok_or(DecodeError::BadField(name))
    }
}
