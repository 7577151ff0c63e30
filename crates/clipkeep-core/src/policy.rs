//! What triggers a clip's fill.

use std::time::Duration;

use crate::{id::Tenant, state::text_enum, time::Timestamp};

text_enum! {
    /// When a clip is copied without anybody watching it.
    Policy {
        /// As soon as the webhook lands.
        Eager = "eager",
        /// Once older than `deferred_after`.
        Deferred = "deferred",
        /// When the first viewer comes.
        OnDemand = "on_demand",
    }
}

/// One exception from the node's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRule {
    /// A model pattern (`*` stands for any run of characters), or none for all.
    pub model: Option<String>,
    /// A tenant, or none for all.
    pub tenant: Option<Tenant>,
    pub policy: Policy,
}

/// The node's policy with its exceptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// What holds where nothing else is said.
    pub default: Policy,
    /// The age at which a deferred clip is due.
    pub deferred_after: Duration,
    /// Exceptions, first match wins. A generation's own policy beats them all.
    pub rules: Vec<PolicyRule>,
}

impl Policies {
    /// The policy of a generation that named `own` (or nothing).
    pub fn resolve(&self, own: Option<Policy>, model: Option<&str>, tenant: Option<&Tenant>) -> Policy {
        if let Some(policy) = own {
            return policy;
        }
        let matches = |rule: &&PolicyRule| {
            let model_fits = rule.model.as_deref().is_none_or(|p| model.is_some_and(|m| glob(p, m)));
            let tenant_fits = rule.tenant.as_ref().is_none_or(|t| Some(t) == tenant);
            model_fits && tenant_fits
        };
        self.rules.iter().find(matches).map_or(self.default, |rule| rule.policy)
    }

    /// When a clip created at `created_at` is due without a viewer; `None` is
    /// «when a viewer comes».
    pub fn due_at(&self, policy: Policy, created_at: Timestamp) -> Option<Timestamp> {
        match policy {
            Policy::Eager => Some(created_at),
            Policy::Deferred => Some(created_at.plus(self.deferred_after)),
            Policy::OnDemand => None,
        }
    }
}

impl Default for Policies {
    fn default() -> Self {
        Self { default: Policy::Eager, deferred_after: Duration::from_secs(24 * 3600), rules: Vec::new() }
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of
/// characters. Linear in both lengths, whatever the pattern.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            star = Some((star_p, star_t + 1));
            p = star_p + 1;
            t = star_t + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_beats_the_rules_and_the_rules_beat_the_node() {
        let policies = Policies {
            rules: vec![PolicyRule { model: Some("fal-ai/veo3*".into()), tenant: None, policy: Policy::Deferred }],
            ..Policies::default()
        };
        let resolve = |own, model| policies.resolve(own, Some(model), None);
        assert_eq!(resolve(Some(Policy::OnDemand), "fal-ai/veo3"), Policy::OnDemand);
        assert_eq!(resolve(None, "fal-ai/veo3/fast"), Policy::Deferred);
        assert_eq!(resolve(None, "fal-ai/wan"), Policy::Eager);
    }

    #[test]
    fn globs_match_runs() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("*.fal.media", "v3.fal.media", true),
            ("*.fal.media", "fal.media", false),
            ("a*b*c", "aXbYbZc", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
