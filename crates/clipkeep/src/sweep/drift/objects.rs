//! Objects without a row.

use std::collections::HashMap;

use clipkeep_core::{
    generation::{Facts, Hearsay, HookRecord, NewClip, Origin},
    id::{ClipKey, Provider},
    media_type::MediaType,
    secret::SourceUrl,
    state::{ClipState, GenerationStatus},
};
use futures_util::TryStreamExt;

use super::{Drift, DriftReport, EXAMPLES, PAGE, Result, is_ours, is_too_much};
use crate::{
    catalog::{CatalogError, sharing::ObjectOwner},
    store::Listed,
};

/// An object that is a clip's by its name.
struct Object<'a> {
    listed: &'a Listed,
    key: ClipKey,
}

impl<'a> Object<'a> {
    fn of(listed: &'a Listed) -> Option<Self> {
        let key: ClipKey = listed.name.parse().ok()?;
        is_ours(&key).then_some(Self { listed, key })
    }
}

impl Drift<'_> {
    pub(super) async fn objects(&self, report: &mut DriftReport) -> Result<()> {
        let mut pages = self.store.list();
        while let Some(page) = pages.try_next().await? {
            for batch in page.chunks(PAGE as usize) {
                self.batch(batch, report).await?;
            }
        }
        Ok(())
    }

    async fn batch(&self, batch: &[Listed], report: &mut DriftReport) -> Result<()> {
        self.is_ours().await?;
        let ours: Vec<Object<'_>> = batch.iter().filter_map(Object::of).collect();
        report.objects += batch.len() as u64;
        report.strangers += (batch.len() - ours.len()) as u64;
        let keys: Vec<ClipKey> = ours.iter().map(|object| object.key.clone()).collect();
        let owners = self.catalog.object_owners(&keys).await?.into_iter();
        let owners: HashMap<_, _> = owners.map(|owner| (owner.key.clone(), owner)).collect();
        let of = ours.len();
        let (mut orphans, mut found_again) = (Vec::new(), Vec::new());
        for object in ours {
            match owners.get(&object.key) {
                None => orphans.push(object),
                Some(ObjectOwner { state: ClipState::Lost, .. }) => found_again.push(object),
                // Put there by a fill that was cut off very late.
                Some(owner) if owner.is_spare && self.is_left(owner, &object).await? => {
                    if self.settings.look_only || self.delete(&object.key, report).await {
                        report.leftovers += 1;
                    }
                }
                Some(_) => {}
            }
        }
        report.orphans += orphans.len() as u64;
        report.found_again += found_again.len() as u64;
        let room = EXAMPLES.saturating_sub(report.examples.len());
        report.examples.extend(orphans.iter().chain(&found_again).take(room).map(|object| object.key.to_string()));
        if self.settings.adopt {
            orphans.extend(found_again);
            self.adopt(&orphans, report).await?;
        } else if self.settings.delete_orphans && !report.stopped {
            self.remove(&orphans, of, report).await?;
        }
        Ok(())
    }

    /// Whether an object that is no clip's now will be none's. A deleted clip
    /// never comes back; one whose bytes are elsewhere might, so its object must
    /// be old, and is asked after once more.
    async fn is_left(&self, owner: &ObjectOwner, object: &Object<'_>) -> Result<bool> {
        if owner.state == ClipState::Deleted {
            return Ok(true);
        }
        let age = self.clock.now().since(object.listed.modified);
        let again = self.catalog.object_owners(std::slice::from_ref(&object.key)).await?;
        Ok(age >= self.settings.orphan_age && again.first() == Some(owner))
    }

    /// Registers objects, each of the generation that its name tells, so that a
    /// fill reads, hashes and probes it.
    async fn adopt(&self, objects: &[Object<'_>], report: &mut DriftReport) -> Result<()> {
        let now = self.clock.now();
        for object in objects {
            let Some(record) = self.adoption(object).await? else { continue };
            if now.since(object.listed.modified) < self.settings.grace {
                report.too_young += 1;
                continue;
            }
            if self.settings.look_only {
                report.adopted += 1;
                continue;
            }
            match self.catalog.record_hooks(&[record]).await {
                Ok(_) => report.adopted += 1,
                Err(CatalogError::KeyTaken { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn adoption(&self, object: &Object<'_>) -> Result<Option<HookRecord>> {
        let key = &object.key;
        let (Some((request_id, index)), Some(media)) = (key.parts(), MediaType::by_ending(key.ending())) else {
            return Ok(None);
        };
        let known = self.catalog.generation(&request_id).await?.map(|generation| generation.provider);
        let status = if known.is_some() { GenerationStatus::Pending } else { GenerationStatus::Completed };
        let clip = NewClip {
            key: key.clone(),
            index,
            slot: "/".to_owned(),
            source_url: SourceUrl::own_store(key),
            kind: media.kind,
            content_type: media.name.to_owned(),
            source_expires_at: None,
        };
        Ok(Some(HookRecord {
            provider: known.unwrap_or_else(Provider::adopted),
            request_id,
            status,
            error: None,
            facts: Facts::default(),
            hearsay: Hearsay::default(),
            clips: vec![clip],
            unread: None,
            received_at: self.clock.now(),
            created_at: None,
            origin: Origin::Store,
        }))
    }

    /// Removes orphans that are old enough.
    async fn remove(&self, orphans: &[Object<'_>], of: usize, report: &mut DriftReport) -> Result<()> {
        let no_rows = report.rows + report.young == 0 && !orphans.is_empty();
        if self.settings.brake && (no_rows || is_too_much(orphans.len(), of)) {
            let orphans = orphans.len();
            tracing::error!(orphans, of, "most objects have no row: is `database` the right one? nothing is removed");
            report.stopped = true;
            return Ok(());
        }
        let now = self.clock.now();
        for Object { listed, key } in orphans {
            if now.since(listed.modified) < self.settings.orphan_age {
                report.too_young += 1;
                continue;
            }
            if self.settings.look_only {
                report.removed += 1;
                continue;
            }
            // Once more, just before: its webhook may have come meanwhile.
            if self.catalog.states(std::slice::from_ref(key)).await?.is_empty() && self.delete(key, report).await {
                tracing::warn!(object = %key, "an object without a row was removed");
                report.removed += 1;
            }
        }
        Ok(())
    }

    /// Removes an object. One that cannot be removed does not hold up the rest.
    async fn delete(&self, key: &ClipKey, report: &mut DriftReport) -> bool {
        let removed = self.store.delete(key).await;
        if let Err(error) = &removed {
            tracing::warn!(object = %key, error = error as &dyn std::error::Error, "an object stays");
            report.failed += 1;
        }
        removed.is_ok()
    }
}
