//! One line, understood: a completed generation with one clip.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use clipkeep_core::{
    address::{Forbidden, SourceRules, judge_url},
    generation::{Facts, Hearsay, HookRecord, NewClip, Origin},
    hook::{HookQuery, QueryError, lenient_value, payload},
    id::{ClipKey, Provider, RequestId, Tenant},
    media_type::MediaType,
    policy::Policy,
    retention::Retention,
    secret::SourceUrl,
    seed::Seed,
    state::GenerationStatus,
    time::Timestamp,
};
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::field::{Cells, Field};

/// No provider's URL is longer.
const MAX_URL: usize = 32 * 1024;
/// Unix seconds of 2000 and 2100: what lies outside is no time of a clip.
const TIMES: std::ops::Range<i64> = 946_684_800..4_102_444_800;
/// How much of a refused value is shown, in characters.
const MAX_SHOWN_CHARS: usize = 40;

/// What holds for all lines, unless a line says otherwise.
#[derive(Clone, Debug)]
pub struct Defaults {
    pub provider: Provider,
    pub tenant: Option<Tenant>,
    pub model: Option<String>,
    pub policy: Policy,
}

/// A line that was understood.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) request_id: RequestId,
    pub(super) url: SourceUrl,
    facts: Facts,
    media: &'static MediaType,
    created_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

impl Entry {
    /// Understands a line, or says why not: the field, then the problem. What
    /// it says repeats no URL.
    pub(super) fn read(cells: &Cells, defaults: &Defaults, rules: &SourceRules) -> Result<Self, String> {
        // Written as it may be asked for.
        let url = payload::source_text(cells.word(Field::Url).ok_or("url: is missing")?);
        let url = url.as_ref();
        let media = media(url, cells.word(Field::ContentType), rules).map_err(|why| format!("url: {why}"))?;
        let request_id = match cells.word(Field::RequestId) {
            Some(text) => text.parse().map_err(|error| format!("{error}"))?,
            None => id_of(url),
        };
        Ok(Self {
            request_id,
            facts: facts(cells, defaults)?,
            media,
            created_at: time(cells, Field::CreatedAt)?,
            expires_at: time(cells, Field::ExpiresAt)?,
            url: SourceUrl::new(url),
        })
    }

    /// What is committed for it: the generation, with the clip unless that is
    /// known already.
    pub(super) fn record(&self, provider: &Provider, clip: Option<NewClip>, now: Timestamp) -> HookRecord {
        HookRecord {
            provider: provider.clone(),
            request_id: self.request_id.clone(),
            status: GenerationStatus::Completed,
            error: None,
            facts: self.facts.clone(),
            hearsay: Hearsay::default(),
            clips: clip.into_iter().collect(),
            unread: None,
            received_at: now,
            created_at: self.created_at,
            origin: Origin::Import,
        }
    }

    /// Whether the sweep would delete its clip for its age.
    pub(super) fn is_too_old(&self, retention: &Retention, now: Timestamp) -> bool {
        let Facts { model, tenant, .. } = &self.facts;
        self.created_at.is_some_and(|at| retention.is_over(model.as_deref(), tenant.as_ref(), now.since(at)))
    }

    /// The clip that it announces, as the `index`-th of its generation.
    pub(super) fn clip(&self, index: u32, slot: String) -> NewClip {
        NewClip {
            key: ClipKey::new(&self.request_id, index, self.media.ending),
            index,
            slot,
            source_url: self.url.clone(),
            kind: self.media.kind,
            content_type: self.media.name.to_owned(),
            source_expires_at: self.expires_at,
        }
    }
}

/// What the file at a URL is, if a request may leave for it at all.
fn media(url: &str, content_type: Option<&str>, rules: &SourceRules) -> Result<&'static MediaType, String> {
    if url.len() > MAX_URL {
        return Err(format!("is longer than {MAX_URL} bytes"));
    }
    if url.chars().any(|c| c.is_control() || c == ' ') {
        return Err("holds white space".to_owned());
    }
    let judged = judge_url(rules, url).map_err(|forbidden| match forbidden {
        Forbidden::Host => format!("{forbidden} (source_hosts)"),
        Forbidden::Scheme => format!("{forbidden} (https; http with source_allow_http)"),
        Forbidden::Port | Forbidden::Address => format!("{forbidden} (source_allow_private)"),
        Forbidden::NotUrl | Forbidden::UserInfo => forbidden.to_string(),
    })?;
    payload::media_of(content_type, judged.expose().path()).ok_or_else(|| "is no media".to_owned())
}

/// A URL's own id, for a line that names no generation.
fn id_of(url: &str) -> RequestId {
    let hash = HEXLOWER.encode(digest(&SHA256, url.as_bytes()).as_ref());
    format!("import-{}", &hash[..32]).parse().expect("hex digits make a valid id")
}

fn facts(cells: &Cells, defaults: &Defaults) -> Result<Facts, String> {
    let said = |error: QueryError| format!("{}: {}", error.name, error.problem);
    let input = cells.word(Field::Input).map(|text| lenient_value(text.as_bytes()).ok_or("input: is no valid JSON"));
    let input = input.transpose()?;
    let of_input = |name: &str| input.as_ref().and_then(|input| input.get(name));
    // A line that has the prompt's hash says what it is by that.
    let prompt = of_input("prompt").and_then(Value::as_str).filter(|_| cells.text(Field::PromptHash).is_none());
    let query = HookQuery::of(|name| {
        let text = Field::named(name).and_then(|field| text_of(cells, field));
        Ok(text.or_else(|| prompt.filter(|_| name == "prompt").map(str::to_owned)))
    });
    let query = query.map_err(said)?;
    let seed = match cells.word(Field::Seed) {
        Some(text) => Some(Seed::of_json(text).ok_or("seed: is no whole number")?),
        None => of_input("seed").and_then(|seed| Seed::of_json(&seed.as_number()?.to_string())),
    };
    Ok(Facts {
        model: query.model.or_else(|| defaults.model.clone()),
        prompt: query.prompt,
        prompt_hash: query.prompt_hash,
        tenant: query.tenant.or_else(|| defaults.tenant.clone()),
        policy: Some(query.policy.unwrap_or(defaults.policy)),
        public: query.public,
        input: input.map(Into::into),
        seed,
    })
}

/// A field as the hook URL's query would have it. Databases export truth in
/// many ways.
fn text_of(cells: &Cells, field: Field) -> Option<String> {
    match field {
        Field::Prompt => cells.text(field).map(str::to_owned),
        Field::Public => cells.word(field).map(|word| match word.to_ascii_lowercase().as_str() {
            "t" => "true".to_owned(),
            "f" => "false".to_owned(),
            other => other.to_owned(),
        }),
        _ => cells.word(field).map(str::to_owned),
    }
}

/// What databases write: RFC 3339, the same with a space, with a short offset or
/// without one (UTC), a day alone; or Unix seconds.
fn time(cells: &Cells, field: Field) -> Result<Option<Timestamp>, String> {
    let Some(text) = cells.word(field) else { return Ok(None) };
    let time = match text.parse::<f64>() {
        Ok(secs) => Some(Timestamp::from_millis((secs * 1000.0) as i64)),
        Err(_) => written(text).map(|time| Timestamp::from_millis(time.timestamp_millis())),
    };
    match time.filter(|time| TIMES.contains(&time.secs())) {
        Some(time) => Ok(Some(time)),
        None => Err(format!(
            "{}: {} is neither a time such as 2026-01-31T12:00:00Z or 2026-01-31 12:00:00 nor Unix seconds after 2000",
            field.name(),
            shown(text)
        )),
    }
}

fn written(text: &str) -> Option<DateTime<Utc>> {
    let text = text.replacen(['T', 't'], " ", 1).replace(['Z', 'z'], "+00");
    let whole = DateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f%#z").map(|time| time.to_utc());
    let naive = || NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").map(|time| time.and_utc());
    let day = || NaiveDate::parse_from_str(&text, "%Y-%m-%d").map(|day| day.and_time(NaiveTime::MIN).and_utc());
    whole.or_else(|_| naive()).or_else(|_| day()).ok()
}

/// A refused value, short and on one line. A URL got into the wrong column is
/// not repeated.
fn shown(text: &str) -> String {
    if text.contains("//") {
        return "a URL".to_owned();
    }
    let mut plain: String = text.chars().filter(|c| !c.is_control()).take(MAX_SHOWN_CHARS + 1).collect();
    if plain.chars().count() > MAX_SHOWN_CHARS {
        plain = plain.chars().take(MAX_SHOWN_CHARS - 1).chain(['…']).collect();
    }
    format!("\"{plain}\"")
}

#[cfg(test)]
mod tests {
    use clipkeep_core::generation::Kind;

    use super::*;

    fn rules() -> SourceRules {
        SourceRules { hosts: vec!["*.fal.media".parse().unwrap()], ..SourceRules::default() }
    }

    fn defaults() -> Defaults {
        Defaults { provider: Provider::fal(), tenant: None, model: None, policy: Policy::Eager }
    }

    fn read(fields: &[(Field, &str)]) -> Result<Entry, String> {
        let mut cells = Cells::default();
        for (field, text) in fields {
            cells.set(*field, (*text).to_owned());
        }
        Entry::read(&cells, &defaults(), &rules())
    }

    const URL: (Field, &str) = (Field::Url, " https://v3.fal.media/files/a.mp4 ");

    #[test]
    fn a_url_alone_is_enough() {
        let entry = read(&[URL]).unwrap();
        assert_eq!(entry.url.expose(), "https://v3.fal.media/files/a.mp4");
        // printf %s https://v3.fal.media/files/a.mp4 | sha256sum
        let hash = HEXLOWER.encode(digest(&SHA256, b"https://v3.fal.media/files/a.mp4").as_ref());
        assert_eq!(entry.request_id.as_str(), format!("import-{}", &hash[..32]));
        let clip = entry.clip(0, "/imports/x/2".into());
        assert_eq!((clip.kind, clip.content_type.as_str()), (Kind::Video, "video/mp4"));
        assert_eq!(clip.key.as_str(), format!("{}.mp4", entry.request_id));
        assert_eq!(entry.facts.policy, Some(Policy::Eager));
    }

    #[test]
    fn all_that_a_line_tells_is_kept() {
        let entry = read(&[
            URL,
            (Field::RequestId, "r1"),
            (Field::Model, "fal-ai/veo3"),
            (Field::Prompt, " a fox "),
            (Field::Tenant, "acme"),
            (Field::CreatedAt, "2026-01-31 13:00:00.5+01"),
            (Field::ExpiresAt, "1769864400"),
            (Field::Policy, "on_demand"),
            (Field::Public, "T"),
            (Field::Seed, "-7"),
            (Field::Input, "{\"a\": 1}"),
            (Field::ContentType, "image/png"),
        ])
        .unwrap();
        let record = entry.record(&Provider::fal(), Some(entry.clip(2, String::new())), Timestamp::from_secs(0));
        assert_eq!(record.created_at.unwrap().to_string(), "2026-01-31T12:00:00.500Z");
        let clip = &record.clips[0];
        assert_eq!((clip.key.as_str(), clip.kind), ("r1.2.png", Kind::Image));
        assert_eq!(clip.source_expires_at, Some(Timestamp::from_secs(1_769_864_400)));
        let facts = &record.facts;
        assert_eq!(
            (facts.prompt.as_deref(), facts.public, facts.seed),
            (Some(" a fox "), Some(true), Some((-7_i64).into()))
        );
        assert_eq!(facts.prompt_hash, Some(clipkeep_core::prompt::prompt_hash("a fox")));
        assert_eq!(
            (facts.policy, facts.input.clone()),
            (Some(Policy::OnDemand), Some(serde_json::json!({"a": 1}).into()))
        );
    }

    #[test]
    fn d13_a_line_is_read_as_leniently_as_a_webhook() {
        let facts = |fields: &[(Field, &str)]| read(&[&[URL], fields].concat()).unwrap().facts;
        let query = facts(&[(Field::Input, r#"{"prompt": "a fox", "seed": 5}"#)]);
        assert_eq!((query.prompt.as_deref(), query.seed), (Some("a fox"), Some(5_i64.into())));
        assert_eq!(query.prompt_hash, Some(clipkeep_core::prompt::prompt_hash("a fox")));
        // What a line says itself goes over it.
        let query = facts(&[
            (Field::Input, r#"{"prompt": "a fox", "seed": 5, "cfg": NaN}"#),
            (Field::Prompt, "a dog"),
            (Field::Seed, "42.0"),
        ]);
        assert_eq!((query.prompt.as_deref(), query.seed), (Some("a dog"), Some(42_i64.into())));
        let hash = "ab".repeat(32);
        let query = facts(&[(Field::Input, r#"{"prompt": "a fox"}"#), (Field::PromptHash, &hash)]);
        assert_eq!((query.prompt, query.prompt_hash), (None, Some(hash)));
        let entry = read(&[(Field::Url, "https://v3.fal.media/My Clip.mp4")]).unwrap();
        assert_eq!(entry.url.expose(), "https://v3.fal.media/My%20Clip.mp4");
    }

    #[test]
    fn i12_a_prompt_that_is_too_long_to_be_kept_costs_no_line() {
        let prompt = "x".repeat(300_000);
        let entry = read(&[URL, (Field::Prompt, &prompt)]).unwrap();
        let facts = entry.record(&Provider::fal(), None, Timestamp::from_secs(0)).facts;
        assert_eq!((facts.prompt, facts.prompt_hash), (None, Some(clipkeep_core::prompt::prompt_hash(&prompt))));
    }

    #[test]
    fn a_bad_line_names_the_field_and_repeats_no_url() {
        let long = format!("https://v3.fal.media/{}", "x".repeat(MAX_URL));
        for (fields, why) in [
            (&[][..], "url: is missing"),
            (&[(Field::Url, "  ")], "url: is missing"),
            (&[(Field::Url, "v3.fal.media/a.mp4")], "url: not an absolute URL with a host"),
            (
                &[(Field::Url, "ftp://v3.fal.media/a.mp4")],
                "url: the scheme is not allowed (https; http with source_allow_http)",
            ),
            (
                &[(Field::Url, "http://v3.fal.media/a.mp4")],
                "url: the scheme is not allowed (https; http with source_allow_http)",
            ),
            (
                &[(Field::Url, "https://evil.example/a.mp4")],
                "url: the host is not among the allowed source hosts (source_hosts)",
            ),
            (&[(Field::Url, "https://v3.fal.media:8080/a.mp4")], "url: the port is not allowed (source_allow_private)"),
            (&[(Field::Url, "https://u:p@v3.fal.media/a.mp4")], "url: credentials in a source URL are not allowed"),
            (&[(Field::Url, &long)], "url: is longer than 32768 bytes"),
            (&[(Field::Url, "https://v3.fal.media/a.json")], "url: is no media"),
            (&[URL, (Field::RequestId, "../x")], "request_id holds a character that is not allowed"),
            (&[URL, (Field::Tenant, "a b")], "tenant: tenant holds a character that is not allowed"),
            (&[URL, (Field::Model, "a b")], "model: must not hold white space or control characters"),
            (&[URL, (Field::PromptHash, "abc")], "prompt_hash: must be 64 hex digits"),
            (&[URL, (Field::Policy, "never")], "policy: must be one of: eager, deferred, on_demand"),
            (&[URL, (Field::Public, "perhaps")], "public: must be one of: 1, true, 0, false"),
            (&[URL, (Field::Seed, "1.5")], "seed: is no whole number"),
            (&[URL, (Field::Input, "{")], "input: is no valid JSON"),
        ] {
            assert_eq!(read(fields).unwrap_err(), why);
        }
    }

    #[test]
    fn times_are_taken_as_databases_write_them() {
        let at = |text: &str| read(&[URL, (Field::CreatedAt, text)]).map(|entry| entry.created_at.unwrap().to_string());
        for (text, time) in [
            ("2026-11-20 10:00:00", "2026-11-20T10:00:00.000Z"),
            ("2026-11-20 10:00:00.123", "2026-11-20T10:00:00.123Z"),
            ("2026-11-20 10:00:00.123456", "2026-11-20T10:00:00.123Z"),
            ("2026-11-21", "2026-11-21T00:00:00.000Z"),
            ("2026-11-20 10:00:00+00", "2026-11-20T10:00:00.000Z"),
            ("2026-11-20 10:00:00.5+05:30", "2026-11-20T04:30:00.500Z"),
            ("2026-11-20T10:00:00", "2026-11-20T10:00:00.000Z"),
            ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00.000Z"),
            ("2026-11-20t10:00:00-0800", "2026-11-20T18:00:00.000Z"),
            ("1769864400.25", "2026-01-31T13:00:00.250Z"),
        ] {
            assert_eq!(at(text), Ok(time.to_owned()), "{text}");
        }
        let long = "x".repeat(99);
        for (bad, shown) in [
            ("yester\u{1b}\nday", "\"yesterday\""),
            ("1769864400000", "\"1769864400000\""),
            ("12", "\"12\""),
            ("2026-02-30", "\"2026-02-30\""),
            ("1999-01-01 10:00:00", "\"1999-01-01 10:00:00\""),
            ("31.01.2026", "\"31.01.2026\""),
            ("NaN", "\"NaN\""),
            ("inf", "\"inf\""),
            (&long, &format!("\"{}…\"", "x".repeat(39))),
            ("https://v3.fal.media/a.mp4?token=x", "a URL"),
        ] {
            let why = at(bad).unwrap_err();
            assert!(why.starts_with(&format!("created_at: {shown} is neither a time")), "{bad}: {why}");
        }
    }
}
