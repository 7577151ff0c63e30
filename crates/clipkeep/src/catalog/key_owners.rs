//! Who holds the clip names of a request id. They name no provider, so one
//! generation alone can have them: the first that was *confirmed*, by a
//! provider's word (webhook, answer, poll), a submit, an import or an admin.
//! What a tenant merely registers holds nothing and yields.

use clipkeep_core::{
    generation::{Facts, Generation, HookRecord},
    id::{Provider, RequestId},
    state::GenerationStatus,
    time::Timestamp,
};

use super::{
    CatalogError, Registration, Result,
    events::generation_ended,
    merge::{GenerationChange, GenerationId, MergeBatch, is_of},
};

impl MergeBatch<'_> {
    /// The names that were given away just now.
    pub(crate) fn new_key_owners(&self) -> impl Iterator<Item = (&RequestId, &Provider)> {
        self.new_key_owners.iter()
    }

    /// Takes in a confirmed registration; answers the generation as it is now.
    pub(crate) fn register(&mut self, registration: &Registration) -> Generation {
        let id = (registration.provider.clone(), registration.request_id.clone());
        self.confirm(&id, &registration.facts, registration.at);
        let facts = self.with_claim(&id, &registration.facts).into_owned();
        self.merge_registration(&Registration { facts, ..registration.clone() })
    }

    /// Refuses clips whose names are another generation's.
    pub(super) fn refuse_taken_keys(&self, id: &GenerationId, hook: &HookRecord) -> Result<()> {
        for new in &hook.clips {
            let taken =
                |provider: &Provider| CatalogError::KeyTaken { key: new.key.clone(), provider: provider.clone() };
            if let Some((known, _)) = self.clips.get(&new.key)
                && !is_of(known, id)
            {
                return Err(taken(&known.provider));
            }
            // What is found in the store is its provider's as soon as that tells of it.
            if let Some(holder) = self.key_owners.get(&id.1)
                && *holder != id.0
                && id.0 != Provider::adopted()
            {
                return Err(taken(holder));
            }
        }
        Ok(())
    }

    /// Who else holds the names of this request id.
    pub(super) fn other_owner(&self, (provider, request_id): &GenerationId) -> Option<&Provider> {
        self.key_owners.get(request_id).filter(|holder| *holder != provider)
    }

    /// A generation is confirmed, with these facts. If nobody holds its names it
    /// does from now on: other providers' that wait for theirs are over, and what
    /// another tenant said of it before does not count.
    pub(super) fn confirm(&mut self, id: &GenerationId, facts: &Facts, at: Timestamp) {
        if id.0 == Provider::adopted() || self.key_owners.contains_key(&id.1) {
            return;
        }
        self.key_owners.insert(id.1.clone(), id.0.clone());
        self.new_key_owners.insert(id.1.clone(), id.0.clone());
        if let Some((known, mark)) = self.generations.get_mut(id)
            && facts.tenant.is_some()
            && known.facts.tenant != facts.tenant
        {
            known.facts = Facts::default();
            changed(mark);
        }
        let waits = |row: &Generation| {
            matches!(row.status, GenerationStatus::Pending | GenerationStatus::ResultMissing)
                && row.provider != Provider::adopted()
        };
        for (other, (row, mark)) in &mut self.generations {
            if other.1 == id.1 && other.0 != id.0 && waits(row) {
                row.status = GenerationStatus::Failed;
                row.error =
                    Some(format!("its clips' names belong to a generation of {} with the same request id", id.0));
                (row.completed_at, row.poll_at) = (Some(at), None);
                changed(mark);
                // A tenant's bare word may have been about anybody's.
                if row.facts.tenant.is_none() || row.facts.tenant == facts.tenant {
                    self.events.extend(generation_ended(row, at));
                }
            }
        }
    }
}

pub(super) fn changed(mark: &mut GenerationChange) {
    if *mark == GenerationChange::Unchanged {
        *mark = GenerationChange::Changed;
    }
}
