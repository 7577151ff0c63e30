//! The ids of a tenant's stream of events.
//!
//! A [`Position`] counts all tenants' events. So a tenant gets it sealed: an id
//! says nothing, is of that tenant alone, and nobody can make one up. An event's
//! is always the same, on every node that has the link keys.

use data_encoding::BASE64URL_NOPAD;

use crate::{event::Position, id::Tenant, link::LinkKeys};

/// What is hashed for a seal, and for what hides the position; links are signed
/// under other words.
const SEAL: &[u8] = b"clipkeep-event-id-v1\n";
const VEIL: &[u8] = b"clipkeep-event-veil-v1\n";
const SEAL_LEN: usize = 16;
/// A position and a salt.
const PLAIN_LEN: usize = 24;

/// The id of the event at `position`, as `tenant` sees it. Where no event stands
/// for it, a random `salt` makes two ids of one position unlike; else it is 0.
pub fn seal(keys: &LinkKeys, tenant: &Tenant, position: Position, salt: u64) -> String {
    let mut plain = [0; PLAIN_LEN];
    plain[..8].copy_from_slice(&position.tx.to_be_bytes());
    plain[8..16].copy_from_slice(&position.id.to_be_bytes());
    plain[16..].copy_from_slice(&salt.to_be_bytes());
    let tag = keys.tag(&[SEAL, tenant.as_str().as_bytes(), b"\n", &plain]);
    let seal = &tag.as_ref()[..SEAL_LEN];
    veil(&mut plain, keys.tag(&[VEIL, seal]).as_ref());
    BASE64URL_NOPAD.encode(&[seal, &plain].concat())
}

/// The position that such an id of this tenant's stands for.
pub fn open(keys: &LinkKeys, tenant: &Tenant, id: &str) -> Option<Position> {
    let bytes = BASE64URL_NOPAD.decode(id.as_bytes()).ok()?;
    let (seal, hidden) = bytes.split_at_checked(SEAL_LEN)?;
    let hidden: [u8; PLAIN_LEN] = hidden.try_into().ok()?;
    let number = |bytes: &[u8]| Some(i64::from_be_bytes(bytes.try_into().ok()?));
    keys.iter().find_map(|key| {
        let mut plain = hidden;
        veil(&mut plain, key.tag(&[VEIL, seal]).as_ref());
        let tag = key.tag(&[SEAL, tenant.as_str().as_bytes(), b"\n", &plain]);
        if tag.as_ref()[..SEAL_LEN] != *seal {
            return None;
        }
        Some(Position { tx: number(&plain[..8])?, id: number(&plain[8..16])? })
    })
}

/// Whether a text looks like such an id, whoever's.
pub fn may_be(id: &str) -> bool {
    BASE64URL_NOPAD.decode(id.as_bytes()).is_ok_and(|bytes| bytes.len() == SEAL_LEN + PLAIN_LEN)
}

/// Hides bytes under others, or uncovers them.
fn veil(plain: &mut [u8; PLAIN_LEN], with: &[u8]) {
    plain.iter_mut().zip(with).for_each(|(byte, with)| *byte ^= with);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "a:AAECAwQFBgcICQoLDA0ODw";

    #[test]
    fn h43_an_id_comes_back_to_its_tenant_alone_and_tells_nothing() {
        let keys: LinkKeys = ONE.parse().unwrap();
        let (one, other): (Tenant, Tenant) = ("one".parse().unwrap(), "other".parse().unwrap());
        let mut ids = Vec::new();
        for id in (0..50).chain([i64::MAX]) {
            let position = Position { tx: 4711, id };
            let sealed = seal(&keys, &one, position, 0);
            assert_eq!(seal(&keys, &one, position, 0), sealed, "an event has one id");
            assert_ne!(seal(&keys, &one, position, 7), sealed);
            assert_eq!(open(&keys, &one, &sealed), Some(position));
            assert_eq!(open(&keys, &one, &seal(&keys, &one, position, 7)), Some(position));
            assert_eq!(open(&keys, &other, &sealed), None);
            ids.push(sealed);
        }
        // Neighbours have nothing in common, at any place.
        let alike = |a: &str, b: &str| a.bytes().zip(b.bytes()).filter(|(a, b)| a == b).count();
        assert!(ids.windows(2).all(|two| two[0].len() == 54 && alike(&two[0], &two[1]) < 12), "{ids:?}");
    }

    #[test]
    fn h43_an_older_key_still_opens_and_what_is_made_up_does_not() {
        let one: Tenant = "one".parse().unwrap();
        let position = Position { tx: 1, id: 2 };
        let sealed = seal(&ONE.parse().unwrap(), &one, position, 0);
        let rotated: LinkKeys = format!("b:8PHy8_T19vf4-fr7_P3-_w,{ONE}").parse().unwrap();
        assert_eq!(open(&rotated, &one, &sealed), Some(position));
        let gone: LinkKeys = "b:8PHy8_T19vf4-fr7_P3-_w".parse().unwrap();
        assert_eq!(open(&gone, &one, &sealed), None);
        let mut bent = sealed.clone().into_bytes();
        bent[30] = if bent[30] == b'A' { b'B' } else { b'A' };
        for made_up in ["", "1-2", "AAAA", &sealed[1..], &format!("{sealed}A"), std::str::from_utf8(&bent).unwrap()] {
            assert_eq!(open(&rotated, &one, made_up), None, "{made_up}");
        }
    }
}
