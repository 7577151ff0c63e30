//! Names of links that lead to no output: to a queue, to pages, to terms.

use super::kind::words_of;

/// Whole names, or words of which a whole name is made.
const LINKS: &[&str] = &[
    "status",
    "response",
    "cancel",
    "queue",
    "webhook",
    "callback",
    "log",
    "logs",
    "doc",
    "docs",
    "documentation",
    "help",
    "homepage",
    "website",
    "site",
    "page",
    "terms",
    "license",
    "licence",
    "policy",
    "privacy",
    "dashboard",
    "api",
    "endpoint",
    "repo",
    "repository",
    "github",
    "huggingface",
    "paper",
    "blog",
    "support",
    "pricing",
    "next",
    "prev",
    "previous",
    "self",
    "schema",
    "readme",
];

/// Words that stand beside those.
const BESIDE_THEM: &[&str] = &[
    "of",
    "the",
    "and",
    "for",
    "to",
    "url",
    "uri",
    "link",
    "href",
    "web",
    "html",
    "request",
    "job",
    "task",
    "prediction",
    "model",
    "error",
    "usage",
    "content",
    "service",
    "use",
    "public",
    "fal",
];

/// Whether something is called after what is no output, by its whole name: a
/// user's `log_cabin`, `page_1` or `self_portrait` is no such link.
pub(super) fn is_link(name: &str) -> bool {
    let has = |list: &[&str], word: &str| list.iter().any(|known| word.eq_ignore_ascii_case(known));
    let words = || words_of(name).filter(|word| !word.is_empty());
    let is_card = words().map(str::to_ascii_lowercase).eq(["model", "card"].map(str::to_owned));
    is_card || (words().any(|word| has(LINKS, word)) && words().all(|word| has(LINKS, word) || has(BESIDE_THEM, word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d08_a_whole_name_makes_a_link_and_a_word_in_it_does_not() {
        for name in
            ["status", "response_url", "webhookUrl", "next_page", "terms_of_service", "privacy-policy", "model_card"]
        {
            assert!(is_link(name), "{name}");
        }
        for name in
            ["card", "self_portrait", "license_plate", "page_1", "log_cabin", "support_band", "", "model", "video"]
        {
            assert!(!is_link(name), "{name}");
        }
    }
}
