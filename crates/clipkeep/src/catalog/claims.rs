//! What tenants say of generations that nobody confirmed as theirs. Each claim
//! is its tenant's own and touches nobody else's: who registers an id is answered
//! alike whether it is new, another's or nobody's, and learns nothing by it.
//! Once a generation is confirmed as a tenant's, what that tenant claimed counts.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use clipkeep_core::{
    generation::{Facts, Generation, HookRecord},
    id::Tenant,
    state::GenerationStatus,
    time::Timestamp,
};

use super::{
    HookOutcome,
    key_owners::changed,
    merge::{GenerationId, MergeBatch},
};

pub(crate) type ClaimId = (GenerationId, Tenant);

/// The claims to the generations that some news touches.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    known: BTreeMap<ClaimId, Generation>,
    /// Those that are new, or say more than before.
    new: BTreeSet<ClaimId>,
    /// Those that were right, and are no more.
    pub(crate) confirmed: BTreeSet<ClaimId>,
}

impl Claims {
    /// The claims that are to be written.
    pub(crate) fn new_claims(&self) -> impl Iterator<Item = &Generation> {
        self.new.iter().filter_map(|id| self.known.get(id))
    }
}

impl FromIterator<Generation> for Claims {
    fn from_iter<I: IntoIterator<Item = Generation>>(rows: I) -> Self {
        let by_id = |row: Generation| {
            let tenant = row.facts.tenant.clone()?;
            Some((((row.provider.clone(), row.request_id.clone()), tenant), row))
        };
        Self { known: rows.into_iter().filter_map(by_id).collect(), ..Self::default() }
    }
}

impl MergeBatch<'_> {
    /// Takes in a tenant's word; answers all that it said so far.
    pub(super) fn claim(&mut self, id: &GenerationId, tenant: &Tenant, facts: &Facts, at: Timestamp) -> Generation {
        let facts = Facts { tenant: Some(tenant.clone()), ..self.rules.storable(facts) };
        let claim = (id.clone(), tenant.clone());
        let known = self.claims.known.get(&claim);
        let row = Generation {
            provider: id.0.clone(),
            request_id: id.1.clone(),
            status: GenerationStatus::Pending,
            facts: known.map_or_else(Facts::default, |known| known.facts.clone()).or(facts),
            error: None,
            created_at: known.map_or(at, |known| known.created_at),
            completed_at: None,
            poll_at: None,
        };
        if known != Some(&row) {
            self.claims.new.insert(claim.clone());
            self.claims.known.insert(claim, row.clone());
        }
        row
    }

    /// Whether more than a tenant's word says that this generation exists.
    pub(super) fn is_confirmed(&self, id: &GenerationId) -> bool {
        self.key_owners.get(&id.1) == Some(&id.0)
    }

    /// Whether a tenant's word is all that there is.
    pub(super) fn is_only_claimed(&self, id: &GenerationId) -> bool {
        let is_a_tenants = |(row, _): &(Generation, _)| row.facts.tenant.is_some();
        !self.is_confirmed(id) && self.generations.get(id).is_some_and(is_a_tenants)
    }

    /// Nobody is asked any more for what a tenant claimed. Its tenant is told no
    /// more of that than of a claim to another's.
    pub(super) fn end_claimed(&mut self, id: &GenerationId, hook: &HookRecord) -> HookOutcome {
        if let Some((row, mark)) = self.generations.get_mut(id) {
            row.status = hook.status;
            row.error.clone_from(&hook.error);
            (row.completed_at, row.poll_at) = (Some(hook.received_at), None);
            changed(mark);
        }
        HookOutcome::Recorded { clips: Vec::new() }
    }

    /// What is told of a generation, and what its tenant claimed of it if it is
    /// confirmed: that is no claim any more.
    pub(super) fn with_claim<'f>(&mut self, id: &GenerationId, facts: &'f Facts) -> Cow<'f, Facts> {
        let known = self.generations.get(id).and_then(|(row, _)| row.facts.tenant.clone());
        let confirmed = known.or_else(|| facts.tenant.clone()).filter(|_| self.is_confirmed(id));
        let claim = confirmed.map(|tenant| (id.clone(), tenant));
        let Some(row) = claim.as_ref().and_then(|claim| self.claims.known.remove(claim)) else {
            return Cow::Borrowed(facts);
        };
        self.claims.confirmed.extend(claim);
        Cow::Owned(facts.clone().or(row.facts))
    }
}
