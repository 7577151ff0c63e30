//! How long clips are kept.

use std::time::Duration;

use crate::{id::Tenant, policy::glob};

/// One rule of retention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionRule {
    /// A model pattern (`*` stands for any run of characters), or none for all.
    pub model: Option<String>,
    /// A tenant, or none for all.
    pub tenant: Option<Tenant>,
    /// How old its clips become; none is for ever.
    pub age: Option<Duration>,
}

/// The rules of retention, first match wins. Where none matches, clips are
/// kept for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The rules, in order.
    pub rules: Vec<RetentionRule>,
}

impl Retention {
    /// How old a clip of this model and tenant becomes; none is for ever.
    pub fn age(&self, model: Option<&str>, tenant: Option<&Tenant>) -> Option<Duration> {
        let matches = |rule: &&RetentionRule| {
            let model_fits = rule.model.as_deref().is_none_or(|p| model.is_some_and(|m| glob(p, m)));
            let tenant_fits = rule.tenant.as_ref().is_none_or(|t| Some(t) == tenant);
            model_fits && tenant_fits
        };
        self.rules.iter().find(matches)?.age
    }

    /// Whether a clip of this model and tenant that is so old is to go.
    pub fn is_over(&self, model: Option<&str>, tenant: Option<&Tenant>, age: Duration) -> bool {
        self.age(model, tenant).is_some_and(|most| age >= most)
    }

    /// The age below which no clip is over its own; none if all are kept for ever.
    pub fn shortest(&self) -> Option<Duration> {
        self.rules.iter().filter_map(|rule| rule.age).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn the_first_rule_that_fits_tells_the_age() {
        let rule = |model: Option<&str>, tenant: Option<&str>, age| RetentionRule {
            model: model.map(str::to_owned),
            tenant: tenant.map(|tenant| tenant.parse().unwrap()),
            age,
        };
        let rules = vec![
            rule(None, Some("museum"), None),
            rule(None, Some("trial"), Some(30 * DAY)),
            rule(Some("fal-ai/draft*"), None, Some(DAY)),
            rule(None, None, Some(365 * DAY)),
        ];
        let retention = Retention { rules };
        for (model, tenant, expected) in [
            (Some("fal-ai/draft"), Some("museum"), None),
            (Some("fal-ai/draft"), Some("trial"), Some(30 * DAY)),
            (Some("fal-ai/draft/fast"), None, Some(DAY)),
            (None, Some("acme"), Some(365 * DAY)),
        ] {
            let tenant: Option<Tenant> = tenant.map(|tenant| tenant.parse().unwrap());
            assert_eq!(retention.age(model, tenant.as_ref()), expected, "{model:?} {tenant:?}");
        }
        assert!(retention.is_over(Some("fal-ai/draft"), None, DAY));
        assert!(!retention.is_over(Some("fal-ai/veo3"), None, 364 * DAY));
        assert_eq!(retention.shortest(), Some(DAY));
        assert_eq!(Retention::default().age(Some("m"), None), None);
        assert_eq!(Retention::default().shortest(), None);
    }
}
