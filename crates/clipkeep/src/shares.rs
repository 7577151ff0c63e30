//! Something of which a node has so much, and shares for who takes of it: one
//! tenant has a quarter at most, and all tenants together three quarters. The
//! rest is kept for admins.

use std::{collections::HashMap, sync::Arc};

use clipkeep_core::id::Tenant;
use parking_lot::Mutex;

/// What is shared.
#[derive(Debug)]
pub struct Shares {
    most: u64,
    /// Who has how much of it; nobody's is the admins'.
    taken: Mutex<HashMap<Option<Tenant>, u64>>,
}

impl Shares {
    /// So much of it.
    pub fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// How much is taken.
    pub fn used(&self) -> u64 {
        self.taken.lock().values().sum()
    }

    /// Whether somebody who has nothing could have so much of it.
    pub fn ever_has(&self, of: Option<&Tenant>, much: u64) -> bool {
        much <= if of.is_some() { self.of_one() } else { self.most }
    }

    /// What one tenant has at most.
    fn of_one(&self) -> u64 {
        (self.most / 4).max(1)
    }

    /// A share of this tenant, or of the admins, with nothing in it.
    pub fn enter(self: &Arc<Self>, of: Option<&Tenant>) -> Share {
        Share { shares: Arc::clone(self), of: of.cloned(), held: 0 }
    }

    /// A share with so much in it, if there is as much.
    pub fn take(self: &Arc<Self>, of: Option<&Tenant>, much: u64) -> Option<Share> {
        let mut share = self.enter(of);
        share.grow(much).then_some(share)
    }

    /// Whether there is so much more for `of`.
    fn has_room(&self, taken: &HashMap<Option<Tenant>, u64>, of: Option<&Tenant>, by: u64) -> bool {
        let held = |of: &Option<Tenant>| taken.get(of).copied().unwrap_or_default();
        let all: u64 = taken.values().sum();
        let fits = |used: u64, most: u64| used.checked_add(by).is_some_and(|wanted| wanted <= most);
        let one = self.of_one();
        fits(all, self.most)
            && of.is_none_or(|tenant| {
                fits(all - held(&None), one.saturating_mul(3).min(self.most)) && fits(held(&Some(tenant.clone())), one)
            })
    }
}

/// What somebody has of it; given back when it goes.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    of: Option<Tenant>,
    held: u64,
}

impl Share {
    /// Takes `by` more, if there is as much; answers whether there was.
    pub fn grow(&mut self, by: u64) -> bool {
        let mut taken = self.shares.taken.lock();
        let has_room = self.shares.has_room(&taken, self.of.as_ref(), by);
        if has_room {
            *taken.entry(self.of.clone()).or_default() += by;
            self.held += by;
        }
        has_room
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock();
        if let Some(held) = taken.get_mut(&self.of) {
            *held -= self.held;
            if *held == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(number: u64) -> Tenant {
        format!("t{number}").parse().unwrap()
    }

    #[test]
    fn h43_tenants_together_leave_a_quarter_for_admins() {
        for most in [4, 64, 1000] {
            let shares = Shares::new(most);
            let held: Vec<Share> = (0..most).filter_map(|n| shares.take(Some(&tenant(n)), 1)).collect();
            assert_eq!(held.len() as u64, most / 4 * 3);
            assert!(shares.take(None, most - shares.used()).is_some() && shares.take(None, most).is_none());
        }
    }

    #[test]
    fn h43_one_tenant_takes_a_quarter_and_what_it_gives_back_is_there_again() {
        let shares = Shares::new(100);
        let (one, other) = (tenant(1), tenant(2));
        let mut ones = shares.enter(Some(&one));
        assert!(ones.grow(20) && !ones.grow(6) && ones.grow(5));
        assert!(shares.take(Some(&one), 1).is_none() && shares.take(Some(&other), 26).is_none());
        let admins = shares.take(None, 60).unwrap();
        assert!(shares.take(Some(&other), 16).is_none(), "there is no more than all of it");
        let others = shares.take(Some(&other), 15).unwrap();
        assert!(!shares.enter(None).grow(1) && !shares.enter(None).grow(u64::MAX));
        drop((ones, others, admins));
        assert!(shares.used() == 0 && shares.taken.lock().is_empty());
        assert!(shares.take(None, 100).is_some());
    }

    #[test]
    fn h43_where_there_is_little_a_tenant_may_have_one() {
        let shares = Shares::new(1);
        assert!(shares.take(Some(&tenant(1)), 1).is_some());
    }
}
