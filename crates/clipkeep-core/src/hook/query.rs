//! What an app tells of a generation in its webhook URL's query.

use std::time::Duration;

use crate::{
    generation::{Facts, Hearsay},
    id::Tenant,
    percent,
    policy::Policy,
    printable::is_hidden,
    prompt::{MAX_PROMPT, prompt_hash},
};

const MAX_MODEL: usize = 256;

/// The query of a webhook URL, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookQuery {
    pub model: Option<String>,
    /// The prompt's text, unless it is longer than [`MAX_PROMPT`].
    pub prompt: Option<String>,
    /// The prompt's hash: as given, or of the whole prompt.
    pub prompt_hash: Option<String>,
    pub tenant: Option<Tenant>,
    /// What triggers the fill of its clips.
    pub policy: Option<Policy>,
    /// Whether its clips may be fetched without a signature.
    pub public: Option<bool>,
    /// How long the sources of its clips live: the proxy knows it when it names
    /// the URL.
    pub source_lifetime: Option<Duration>,
}

/// Why a query was refused: 422 at the edge. The text is fit for a user and
/// repeats nothing of what was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("query parameter {name}: {problem}")]
pub struct QueryError {
    pub name: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl QueryError {
    fn new(name: &'static str, problem: impl ToString) -> Self {
        Self { name, problem: problem.to_string() }
    }
}

impl HookQuery {
    /// Reads a URL's query (without the `?`). Parameters it does not know are
    /// ignored, empty ones count as absent, and one that is there twice is an error.
    pub fn parse(raw_query: &str) -> Result<Self, QueryError> {
        Self::of(|name| parameter(raw_query, name))
    }

    /// The same from wherever `take` finds what stands under a name.
    pub fn of(take: impl Fn(&'static str) -> Result<Option<String>, QueryError>) -> Result<Self, QueryError> {
        let prompt = take("prompt")?;
        Ok(Self {
            model: take("model")?.map(check_model).transpose()?,
            prompt_hash: hash(prompt.as_deref(), take("prompt_hash")?)?,
            // No clip is lost for it: its hash tells which prompt it was.
            prompt: prompt.filter(|prompt| prompt.len() <= MAX_PROMPT),
            tenant: parsed("tenant", take("tenant")?)?,
            policy: parsed("policy", take("policy")?)?,
            public: take("public")?.map(|text| check_public(&text)).transpose()?,
            source_lifetime: take("source_lifetime")?.map(|text| check_lifetime(&text)).transpose()?,
        })
    }

    /// What a webhook's query tells of its generation.
    pub fn hearsay(&self) -> Hearsay {
        Hearsay { facts: self.facts(), source_lifetime: self.source_lifetime }
    }

    /// The facts it tells.
    pub fn facts(&self) -> Facts {
        Facts {
            model: self.model.clone(),
            prompt: self.prompt.clone(),
            prompt_hash: self.prompt_hash.clone(),
            tenant: self.tenant.clone(),
            policy: self.policy,
            input: None,
            seed: None,
            public: self.public,
        }
    }
}

/// The query that tells a webhook these facts, for the URL that a provider is
/// given. Of the prompt it tells the hash alone: URLs have an end, and stand in
/// strangers' logs. What the query could not say is left out.
pub fn callback_query(facts: &Facts) -> String {
    let public = facts.public.map(|public| if public { "1" } else { "0" });
    let pairs = [
        ("model", facts.model.clone().and_then(|model| check_model(model).ok())),
        ("prompt_hash", facts.prompt.as_deref().map(prompt_hash).or_else(|| facts.prompt_hash.clone())),
        ("tenant", facts.tenant.as_ref().map(|tenant| tenant.as_str().to_owned())),
        ("policy", facts.policy.map(|policy| policy.as_str().to_owned())),
        ("public", public.map(str::to_owned)),
    ];
    let mut query = String::new();
    for (name, value) in pairs {
        let Some(value) = value else { continue };
        query.push_str(if query.is_empty() { "" } else { "&" });
        query.push_str(name);
        query.push('=');
        percent::encode(&value, &mut query);
    }
    query
}

/// The value of the parameter `name`, decoded; `None` where absent or empty.
fn parameter(raw_query: &str, name: &'static str) -> Result<Option<String>, QueryError> {
    let pairs = raw_query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut values = pairs.filter(|(key, _)| decode(key).as_deref() == Some(name));
    let Some((_, value)) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(QueryError::new(name, "must be given once"));
    }
    let value = decode(value).ok_or_else(|| QueryError::new(name, "is not valid UTF-8"))?;
    Ok(Some(value).filter(|value| !value.is_empty()))
}

/// Form decoding; `None` where it yields no UTF-8. (The `url` crate would put
/// replacement characters, and so hash another prompt.)
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, percent::hex_pair(tail)) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}

fn parsed<T: std::str::FromStr<Err: ToString>>(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<T>, QueryError> {
    text.map(|text| text.parse().map_err(|error: T::Err| QueryError::new(name, error))).transpose()
}

fn check_model(model: String) -> Result<String, QueryError> {
    if model.len() > MAX_MODEL {
        return Err(QueryError::new("model", "must not be longer than 256 bytes"));
    }
    if model.chars().any(|c| is_hidden(c) || c.is_whitespace()) {
        return Err(QueryError::new("model", "must not hold white space or control characters"));
    }
    Ok(model)
}

fn check_lifetime(text: &str) -> Result<Duration, QueryError> {
    let secs = text.parse::<u32>().map_err(|_| QueryError::new("source_lifetime", "must be a number of seconds"))?;
    Ok(Duration::from_secs(secs.into()))
}

fn check_public(text: &str) -> Result<bool, QueryError> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(QueryError::new("public", "must be one of: 1, true, 0, false")),
    }
}

fn hash(prompt: Option<&str>, given: Option<String>) -> Result<Option<String>, QueryError> {
    let given = given.map(check_hash).transpose()?;
    let computed = prompt.map(prompt_hash);
    if let (Some(given), Some(computed)) = (&given, &computed)
        && given != computed
    {
        return Err(QueryError::new("prompt_hash", "is not the hash of the prompt"));
    }
    Ok(computed.or(given))
}

fn check_hash(text: String) -> Result<String, QueryError> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(QueryError::new("prompt_hash", "must be 64 hex digits"));
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str) -> &'static str {
        HookQuery::parse(query).unwrap_err().name
    }

    #[test]
    fn all_facts_are_read() {
        let query = "model=fal-ai%2Fveo3&prompt=a+caf%C3%A9%26&tenant=acme&policy=on_demand&public=1&token=x&&=";
        let facts = HookQuery::parse(query).unwrap().facts();
        assert_eq!(facts.model.as_deref(), Some("fal-ai/veo3"));
        assert_eq!(facts.prompt.as_deref(), Some("a café&"));
        assert_eq!(facts.prompt_hash, Some(prompt_hash("a café&")));
        assert_eq!(facts.tenant.unwrap().as_str(), "acme");
        assert_eq!((facts.policy, facts.public), (Some(Policy::OnDemand), Some(true)));
        assert_eq!((facts.input, facts.seed), (None, None));
    }

    #[test]
    fn nothing_told_is_fine() {
        for query in ["", "&", "prompt=&tenant=", "x=1&models=2"] {
            assert_eq!(HookQuery::parse(query).unwrap(), HookQuery::default(), "{query}");
        }
    }

    #[test]
    fn a_hash_stands_for_a_prompt() {
        let hash = prompt_hash("a cat");
        let query = HookQuery::parse(&format!("prompt_hash={}", hash.to_ascii_uppercase())).unwrap();
        assert_eq!((query.prompt, query.prompt_hash), (None, Some(hash.clone())));
        let query = HookQuery::parse(&format!("prompt=+a%20cat&prompt_hash={hash}")).unwrap();
        assert_eq!((query.prompt.as_deref(), query.prompt_hash), (Some(" a cat"), Some(hash.clone())));
        assert_eq!(refused(&format!("prompt=a+dog&prompt_hash={hash}")), "prompt_hash");
    }

    #[test]
    fn bad_values_name_their_parameter() {
        assert_eq!(refused("prompt_hash=abc"), "prompt_hash");
        assert_eq!(refused("policy=never"), "policy");
        assert_eq!(refused("public=yes"), "public");
        assert_eq!(refused("tenant=a%20b"), "tenant");
        for hidden in ["%0A", "%1B[31m", "%07", "%C2%9B", "%0D%0A", "%E2%80%AE", "%E2%80%8B", "%00", "%20"] {
            assert_eq!(refused(&format!("model=a{hidden}b")), "model", "{hidden}");
        }
        assert_eq!(refused("prompt=%FF"), "prompt");
        assert_eq!(refused("model=a&model=b"), "model");
        let error = HookQuery::parse("policy=never").unwrap_err();
        assert_eq!(error.to_string(), "query parameter policy: must be one of: eager, deferred, on_demand");
    }

    #[test]
    fn h07_of_a_prompt_that_is_too_long_to_be_kept_the_hash_is() {
        for (len, is_kept) in [(100_000, true), (MAX_PROMPT, true), (MAX_PROMPT + 1, false)] {
            let prompt = "x".repeat(len);
            let query = HookQuery::parse(&format!("prompt={prompt}")).unwrap();
            assert_eq!(query.prompt_hash, Some(prompt_hash(&prompt)));
            assert_eq!(query.prompt, Some(prompt).filter(|_| is_kept), "{len}");
        }
    }

    #[test]
    fn a_callback_tells_what_its_query_reads() {
        let told = "model=fal-ai/veo3&prompt=a+caf%C3%A9%26&tenant=acme&policy=on_demand&public=0";
        let told = HookQuery::parse(told).unwrap();
        let read = HookQuery::parse(&callback_query(&told.facts())).unwrap();
        assert_eq!(read, HookQuery { prompt: None, ..told });
        assert_eq!(callback_query(&Facts::default()), "");
        let odd = Facts { model: Some("a model".to_owned()), ..Facts::default() };
        assert_eq!(callback_query(&odd), "");
    }

    #[test]
    fn a_url_may_say_how_long_sources_live() {
        let told = |query| HookQuery::parse(query).unwrap().hearsay().source_lifetime;
        assert_eq!(told("model=a&source_lifetime=3600"), Some(Duration::from_secs(3600)));
        assert_eq!(told("model=a"), None);
        assert_eq!(refused("source_lifetime=1h"), "source_lifetime");
    }

    #[test]
    fn a_bad_escape_is_taken_as_it_stands() {
        assert_eq!(HookQuery::parse("prompt=100%+%zz%2").unwrap().prompt.as_deref(), Some("100% %zz%2"));
    }
}
