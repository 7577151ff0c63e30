//! How long sources live.

use std::time::Duration;

use crate::{hook::profile, id::Provider, policy::glob};

/// One rule of how long sources live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifetimeRule {
    /// A provider, or none for all.
    pub provider: Option<Provider>,
    /// A model pattern (`*` stands for any run of characters), or none for all.
    pub model: Option<String>,
    /// How long they live; none is for ever.
    pub age: Option<Duration>,
}

/// How long sources live, where nobody says when one vanishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceLifetimes {
    /// The rules, first match wins. They go over what a provider says of itself.
    pub rules: Vec<LifetimeRule>,
    /// What holds where neither a rule nor the provider says; none is for ever.
    pub general: Option<Duration>,
}

impl SourceLifetimes {
    /// How long a source of this provider and model lives; none is for ever.
    pub fn of(&self, provider: &Provider, model: Option<&str>) -> Option<Duration> {
        let matches = |rule: &&LifetimeRule| {
            let provider_fits = rule.provider.as_ref().is_none_or(|own| own == provider);
            let model_fits = rule.model.as_deref().is_none_or(|p| model.is_some_and(|m| glob(p, m)));
            provider_fits && model_fits
        };
        if let Some(rule) = self.rules.iter().find(matches) {
            return rule.age;
        }
        profile(provider).and_then(|profile| profile.source_lifetime).or(self.general)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_rule_beats_the_provider_and_the_provider_beats_the_general_word() {
        let rule = |provider: Option<&str>, model: Option<&str>, age| LifetimeRule {
            provider: provider.map(|name| name.parse().unwrap()),
            model: model.map(str::to_owned),
            age,
        };
        let lifetimes = SourceLifetimes {
            rules: vec![
                rule(None, Some("minimax/*"), None),
                rule(Some("replicate"), None, Some(2 * HOUR)),
                rule(Some("luma"), None, Some(3 * HOUR)),
            ],
            general: Some(24 * HOUR),
        };
        let of = |lifetimes: &SourceLifetimes, provider: &str, model| lifetimes.of(&provider.parse().unwrap(), model);
        assert_eq!(of(&lifetimes, "replicate", Some("minimax/video-01")), None);
        assert_eq!(of(&lifetimes, "replicate", Some("acme/x")), Some(2 * HOUR));
        assert_eq!(of(&lifetimes, "luma", None), Some(3 * HOUR));
        assert_eq!(of(&lifetimes, "fal", Some("fal-ai/veo3")), Some(24 * HOUR));
        let general = SourceLifetimes { general: Some(24 * HOUR), ..SourceLifetimes::default() };
        assert_eq!(of(&general, "replicate", None), Some(HOUR), "it says so itself");
        assert_eq!(of(&SourceLifetimes::default(), "fal", None), None);
    }
}
