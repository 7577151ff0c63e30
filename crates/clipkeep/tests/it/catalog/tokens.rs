//! Tokens, by their hashes.

use std::sync::Arc;

use clipkeep::{
    auth::{Authenticator, Caller},
    clock::SystemClock,
};
use clipkeep_core::{
    secret::Secret,
    token::{TOKEN_BYTES, TokenInfo, token_hash, token_text},
};

use super::{Bed, at, on_both};

on_both![a_token_is_known_by_its_hash_until_it_is_revoked, callers_are_told_apart];

fn info(id: &str, tenant: Option<&str>) -> TokenInfo {
    let tenant = tenant.map(|tenant| tenant.parse().unwrap());
    TokenInfo {
        id: id.to_owned(),
        name: "a name".to_owned(),
        tenant,
        created_at: at(1),
        last_used_at: None,
        revoked_at: None,
    }
}

async fn a_token_is_known_by_its_hash_until_it_is_revoked(bed: Bed) {
    let catalog = bed.open().await;
    let (acme, admin) = (info("a", Some("acme")), info("b", None));
    catalog.create_token(&acme, "hash-a").await.unwrap();
    catalog.create_token(&admin, "hash-b").await.unwrap();
    assert!(catalog.create_token(&info("c", None), "hash-a").await.is_err());
    assert_eq!(catalog.token("hash-a").await.unwrap(), Some(acme.clone()));
    assert_eq!(catalog.token("hash").await.unwrap(), None);
    assert!(catalog.revoke_token("a", at(5)).await.unwrap());
    assert!(catalog.revoke_token("a", at(9)).await.unwrap());
    assert!(!catalog.revoke_token("nobody", at(9)).await.unwrap());
    assert_eq!(catalog.token("hash-a").await.unwrap(), None);
    catalog.token_used("a", at(7)).await.unwrap();
    catalog.token_used("a", at(6)).await.unwrap();
    let revoked = TokenInfo { revoked_at: Some(at(5)), last_used_at: Some(at(7)), ..acme };
    assert_eq!(catalog.tokens(None, 10).await.unwrap(), [admin.clone(), revoked.clone()]);
    assert_eq!(catalog.tokens(None, 1).await.unwrap(), [admin]);
    assert_eq!(catalog.tokens(Some("b"), 10).await.unwrap(), [revoked]);
    assert_eq!(catalog.tokens(Some("a"), 10).await.unwrap(), []);
}

async fn callers_are_told_apart(bed: Bed) {
    let catalog = bed.open().await;
    let callers = Authenticator::new(
        Secret::new("the-admin-token-of-the-node".to_owned()),
        catalog.clone(),
        Arc::new(SystemClock),
    );
    let token = |byte: u8| token_text(&[byte; TOKEN_BYTES]);
    catalog.create_token(&info("a", Some("acme")), &token_hash(&token(1))).await.unwrap();
    catalog.create_token(&info("b", None), &token_hash(&token(2))).await.unwrap();
    let acme = Caller::Tenant("acme".parse().unwrap());
    assert_eq!(callers.authenticate("the-admin-token-of-the-node").await.unwrap(), Some(Caller::Admin));
    assert_eq!(callers.authenticate(&token(1)).await.unwrap().as_ref(), Some(&acme));
    assert_eq!(callers.authenticate(&token(2)).await.unwrap(), Some(Caller::Admin));
    for wrong in ["", "the-admin-token-of-the-nod", &token(3), &token_hash(&token(1))] {
        assert_eq!(callers.authenticate(wrong).await.unwrap(), None, "{wrong}");
    }
    let (own, other) = ("acme".parse().unwrap(), "other".parse().unwrap());
    assert!(acme.may_see(Some(&own)) && !acme.may_see(Some(&other)) && !acme.may_see(None));
    assert!(Caller::Admin.may_see(Some(&own)) && Caller::Admin.may_see(None));
}
