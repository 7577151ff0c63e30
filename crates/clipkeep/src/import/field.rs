//! What a table's columns are called, and what they mean.

/// What a column can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Where the provider keeps the clip.
    Url,
    /// The provider's id of its generation.
    RequestId,
    Model,
    Prompt,
    PromptHash,
    Tenant,
    CreatedAt,
    ExpiresAt,
    Policy,
    /// Whether it may be fetched without a signature.
    Public,
    Seed,
    /// The whole model input, as JSON.
    Input,
    ContentType,
}

/// Each field with the names that are known for it, the field's own first. They
/// are compared without case and punctuation, so `videoUrl` is `video_url`.
const NAMES: &[(Field, &[&str])] = &[
    (Field::Url, &["url", "video_url", "source_url", "media_url", "file_url", "output_url", "fal_url"]),
    (Field::RequestId, &["request_id", "fal_request_id", "generation_id"]),
    (Field::Model, &["model", "model_id", "model_name", "endpoint", "endpoint_id"]),
    (Field::Prompt, &["prompt", "text_prompt"]),
    (Field::PromptHash, &["prompt_hash"]),
    (Field::Tenant, &["tenant", "tenant_id"]),
    (Field::CreatedAt, &["created_at", "created", "generated_at"]),
    (Field::ExpiresAt, &["expires_at", "source_expires_at"]),
    (Field::Policy, &["policy"]),
    (Field::Public, &["public", "is_public"]),
    (Field::Seed, &["seed"]),
    (Field::Input, &["input", "model_input"]),
    (Field::ContentType, &["content_type", "mime_type", "media_type"]),
];

const FIELDS: usize = NAMES.len();

impl Field {
    /// The name it has in this documentation and in `--column`.
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1[0]
    }

    /// The field of this very name.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, names)| names[0] == name).map(|(field, _)| *field)
    }

    /// All of them, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(field, _)| *field)
    }
}

/// Which column holds what: as was said, and else by the names that are known.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    pub said: Vec<(Field, String)>,
}

/// Where each field stands among the columns of a table or of one record.
pub(super) type Places = [Option<usize>; FIELDS];

impl Columns {
    /// Finds the fields among columns of these names.
    pub(super) fn places(&self, names: &[&str]) -> Places {
        let plain: Vec<String> = names.iter().map(|name| plain(name)).collect();
        let mut places = [None; FIELDS];
        for (place, field) in places.iter_mut().zip(Field::all()) {
            let said = self.said.iter().find(|(of, _)| *of == field);
            *place = match said {
                Some((_, name)) => names.iter().position(|other| other == name),
                None => known(field, &plain),
            };
        }
        places
    }
}

fn known(field: Field, columns: &[String]) -> Option<usize> {
    let names = NAMES[field as usize].1.iter();
    names.map(|name| plain(name)).find_map(|name| columns.iter().position(|column| *column == name))
}

/// A name without what people write differently.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What one record holds, by field. What is empty is not there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cells([Option<String>; FIELDS]);

impl Cells {
    pub(super) fn set(&mut self, field: Field, text: String) {
        if !text.trim().is_empty() {
            self.0[field as usize] = Some(text);
        }
    }

    /// A field as it stands.
    pub(super) fn text(&self, field: Field) -> Option<&str> {
        self.0[field as usize].as_deref()
    }

    /// A field without outer white space.
    pub(super) fn word(&self, field: Field) -> Option<&str> {
        self.text(field).map(str::trim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_fields() {
        for (at, field) in Field::all().enumerate() {
            assert_eq!(field as usize, at);
            assert_eq!(Field::named(field.name()), Some(field));
        }
        assert_eq!(Field::named("video_url"), None);
    }

    #[test]
    fn columns_are_found_by_name_alias_and_what_was_said() {
        let place = |columns: &Columns, names: &[&str], field: Field| columns.places(names)[field as usize];
        let none = Columns::default();
        assert_eq!(place(&none, &["id", "Video URL", "URL"], Field::Url), Some(2), "its own name goes first");
        assert_eq!(place(&none, &["videoUrl", "requestId"], Field::RequestId), Some(1));
        assert_eq!(place(&none, &["link"], Field::Url), None);
        let said = Columns { said: vec![(Field::Url, "link".into())] };
        assert_eq!(place(&said, &["url", "link"], Field::Url), Some(1));
        assert_eq!(place(&said, &["url", "Link"], Field::Url), None, "what was said is meant to the letter");
    }
}
