//! What is in the audit when something fails between an act and its entry.

use klatch_domain::UserId;
use klatch_domain::audit::{Act, By};
use klatch_domain::user::ServerRole;
use klatch_ports::accounts::AccountStore as _;
use klatch_ports::api::ServiceError;
use klatch_ports::api::accounts::AccountChange;
use klatch_ports::api::queries::PageRequest;

use super::*;

const OPERATOR: By = By::Operator;

/// Everything that may be entered before it is done, once each; how many were not done.
async fn act(world: &World, user: UserId) -> usize {
    let auth = &world.auth;
    let role = AccountChange { role: Some(ServerRole::Guest), banned: None };
    let ban = AccountChange { role: None, banned: Some(true) };
    let outcomes = [
        auth.manage_account(OPERATOR, user, role).await.map(drop),
        auth.manage_account(OPERATOR, user, ban).await.map(drop),
        auth.hand_out_reset(OPERATOR, user).await.map(drop),
        auth.rotate_signing_keys(OPERATOR, false).await,
    ];
    let failed = outcomes.iter().filter(|outcome| outcome.is_err());
    failed
        .inspect(|it| assert!(matches!(it, Err(ServiceError::OutcomeUnknown(_))), "{it:?}"))
        .count()
}

#[tokio::test]
async fn what_cannot_be_entered_in_the_audit_is_not_done_and_what_is_done_is_entered() {
    let world = World::new();
    world.register("ada").await;
    let user = world.register("bob").await.user;
    let before = world.accounts.get(user).await.unwrap();
    let secrets = world.secrets.lock().clone();
    for trouble in [Trouble::LoseAppend, Trouble::LoseAnswer] {
        world.log.have(trouble);
        assert_eq!(act(&world, user).await, 4);
        assert_eq!(world.accounts.get(user).await.unwrap(), before);
        assert_eq!(*world.secrets.lock(), secrets);
    }
    world.log.have(Trouble::None);
    assert_eq!(act(&world, user).await, 0);
    let after = world.accounts.get(user).await.unwrap().unwrap();
    assert!(after.banned && after.role == ServerRole::Guest);
    assert_ne!(*world.secrets.lock(), secrets);
    let page = PageRequest { cursor: None, limit: 50 };
    let found = world.auth.parts.audit.audit(page).await.unwrap().items;
    let acts: Vec<Act> = found.iter().rev().map(|entry| entry.act).collect();
    let once = [Act::RoleChanged, Act::Banned, Act::ResetLinkMade, Act::KeysRotated];
    // Those whose answer was lost were entered, and not done.
    assert_eq!(acts, [once, once].concat());
}
