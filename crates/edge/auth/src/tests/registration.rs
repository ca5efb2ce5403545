use std::sync::atomic::AtomicBool;
use std::time::Duration;

use klatch_domain::user::ServerRole;
use klatch_domain::{Rejection, UserChange, UserId};
use klatch_ports::PortResult;
use klatch_ports::accounts::{Account, AccountStore, Claim, ClaimKind, Claims as _, Replaced};
use klatch_ports::api::ServiceError;
use klatch_ports::api::auth::{SignInError, TokenVerifier as _};

use super::*;

/// Accounts whose writes can fail, with nothing written.
struct FullAccounts {
    inner: Arc<Accounts>,
    full: AtomicBool,
}

#[async_trait]
impl AccountStore for FullAccounts {
    async fn put(&self, accounts: &[Account]) -> PortResult<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(PortError::new(ErrorKind::Full, "accounts", "put"));
        }
        self.inner.put(accounts).await
    }

    async fn get(&self, user: UserId) -> PortResult<Option<Account>> {
        AccountStore::get(&*self.inner, user).await
    }

    async fn unannounced(&self, limit: usize) -> PortResult<Vec<Account>> {
        self.inner.unannounced(limit).await
    }

    async fn has_admin(&self) -> PortResult<bool> {
        self.inner.has_admin().await
    }

    async fn replace(&self, account: &Account, expected: &Account) -> PortResult<Replaced> {
        self.inner.replace(account, expected).await
    }

    async fn mark_announced(&self, users: &[UserId]) -> PortResult<()> {
        self.inner.mark_announced(users).await
    }

    async fn page(&self, after: Option<UserId>, limit: usize) -> PortResult<Vec<Account>> {
        self.inner.page(after, limit).await
    }
}

fn is_taken<T>(answer: &Result<T, SignInError>, what: &str) -> bool {
    let Err(SignInError::Service(ServiceError::Rejected(rejection))) = answer else { return false };
    matches!(rejection, Rejection::Taken(word) if *word == what)
}

#[tokio::test]
async fn a_registered_person_has_an_event_a_session_and_their_name() {
    let world = World::new();
    let signed_in = world
        .auth
        .register(Register { display_name: Some(" Ann B. ".into()), ..wish("Ann") })
        .await
        .unwrap();
    assert_eq!(signed_in.profile.username, "ann");
    assert_eq!(signed_in.profile.display_name, "Ann B.");
    assert_eq!(signed_in.role, ServerRole::Member);
    assert_eq!(signed_in.expires_in, 900);
    let identity = world.auth.verify(&signed_in.access_token).await.unwrap();
    assert_eq!(
        (identity.actor.user, identity.session()),
        (signed_in.user, Some(signed_in.session))
    );
    let events = world.events().await;
    let [Event::User(first)] = events.as_slice() else { panic!("{events:?}") };
    let UserChange::Registered { profile, .. } = &first.change else { panic!("{first:?}") };
    assert_eq!(world.ring.open_profile(profile).await.unwrap(), Some(signed_in.profile));
    assert_eq!(signed_in.position.map(|at| at.offset), Some(Offset(1)));
    assert!(world.accounts.unannounced(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn names_and_addresses_are_unique_whatever_their_case() {
    let world = World::new();
    world.register("ann").await;
    let same_name = Register { email: "other@example.org".into(), ..wish("ANN") };
    assert!(is_taken(&world.auth.register(same_name).await, "username"));
    let same_address = Register { email: "ANN@Example.org".into(), ..wish("bob") };
    assert!(is_taken(&world.auth.register(same_address).await, "email"));
    // The refused registration holds nothing: its name is free.
    world.register("bob").await;
}

#[tokio::test]
async fn of_many_that_want_one_name_at_once_one_gets_it() {
    let world = World::new();
    let wishes = (0..20).map(|number| {
        let email = format!("ann{number}@example.org");
        world.auth.register(Register { email, ..wish("ann") })
    });
    let answers = futures::future::join_all(wishes).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().all(|answer| answer.is_ok() || is_taken(answer, "username")));
    assert_eq!(world.events().await.len(), 1);
}

#[tokio::test]
async fn fields_that_do_not_fit_are_named() {
    let world = World::new();
    let long = "x".repeat(1_001);
    for (field, bad) in [
        ("username", Register { username: "a b".into(), ..wish("ann") }),
        ("email", Register { email: "nowhere".into(), ..wish("ann") }),
        ("password", Register { password: "too short".into(), ..wish("ann") }),
        ("password", Register { password: long, ..wish("ann") }),
        ("displayName", Register { display_name: Some("\n".into()), ..wish("ann") }),
    ] {
        let answer = world.auth.register(bad).await;
        let Err(SignInError::Service(ServiceError::Rejected(rejection))) = answer else {
            panic!("{field}: {answer:?}");
        };
        assert_eq!(rejection, Rejection::InvalidField(field));
    }
    assert!(world.events().await.is_empty());
}

#[tokio::test]
async fn a_name_whose_registration_was_cut_short_is_free_after_a_minute() {
    let world = World::new();
    let gone = UserId::fresh(&world.clock, &*world.entropy);
    let claim = Claim { kind: ClaimKind::Username, name: "ann".to_owned(), holder: gone.bits() };
    world.accounts.claim(&[claim], world.clock.now()).await.unwrap().unwrap();
    assert!(is_taken(&world.auth.register(wish("ann")).await, "username"));
    world.clock.advance(Duration::from_secs(61));
    world.register("ann").await;
}

#[tokio::test]
async fn a_registration_that_cannot_be_stored_leaves_its_name_free() {
    let mut world = World::new();
    let accounts =
        Arc::new(FullAccounts { inner: Arc::clone(&world.accounts), full: AtomicBool::new(true) });
    world.auth.parts.stores.accounts = Arc::clone(&accounts) as _;
    let answer = world.auth.register(wish("ann")).await;
    let Err(SignInError::Service(ServiceError::Port(error))) = answer else { panic!("{answer:?}") };
    assert_eq!(error.kind, ErrorKind::Full);
    assert!(world.events().await.is_empty());
    accounts.full.store(false, Ordering::SeqCst);
    world.register("ann").await;
}

#[tokio::test]
async fn an_append_that_was_lost_is_made_by_the_sweeper() {
    let world = World::new();
    world.log.have(Trouble::LoseAppend);
    let answer = world.auth.register(wish("ann")).await;
    assert!(matches!(answer, Err(SignInError::Service(ServiceError::OutcomeUnknown(_)))));
    world.log.have(Trouble::None);
    let world = world.restarted();
    assert!(world.events().await.is_empty());
    assert_eq!(world.auth.sweep().await.unwrap(), 1);
    assert_eq!(world.auth.sweep().await.unwrap(), 0);
    assert_eq!(world.events().await.len(), 1);
    world.auth.login("ann", PASSWORD, "test", "here").await.unwrap();
}

#[tokio::test]
async fn an_answer_that_was_lost_never_makes_a_second_event() {
    let world = World::new();
    world.log.have(Trouble::LoseAnswer);
    let answer = world.auth.register(wish("ann")).await;
    assert!(matches!(answer, Err(SignInError::Service(ServiceError::OutcomeUnknown(_)))));
    world.log.have(Trouble::None);
    // Signing in finishes the registration as the sweeper would.
    world.auth.login("ann", PASSWORD, "test", "here").await.unwrap();
    assert!(world.accounts.unannounced(10).await.unwrap().is_empty());
    assert_eq!(world.auth.sweep().await.unwrap(), 0);
    assert_eq!(world.events().await.len(), 1);
}

#[tokio::test]
async fn the_setup_token_makes_one_administrator() {
    let world = World::new();
    let token = world.auth.setup_token().await.unwrap().unwrap();
    assert_eq!(world.auth.setup_token().await.unwrap().as_ref(), Some(&token));
    let with =
        |name: &str, token: &str| Register { setup_token: Some(token.to_owned()), ..wish(name) };
    let wrong = world.auth.register(with("eve", "wrong")).await;
    assert!(matches!(wrong, Err(SignInError::SetupRefused)));
    // A registration that fails does not use the token up.
    let bad_name = world.auth.register(with("a b", &token)).await;
    assert!(matches!(bad_name, Err(SignInError::Service(_))));
    let (one, two) = tokio::join!(
        world.auth.register(with("ann", &token)),
        world.auth.register(with("bob", &token))
    );
    assert_eq!(one.unwrap().role, ServerRole::Admin);
    assert!(matches!(two, Err(SignInError::SetupRefused)));
    assert_eq!(world.auth.setup_token().await.unwrap(), None);
    assert_eq!(world.restarted().auth.setup_token().await.unwrap(), None);
}

#[tokio::test]
async fn a_closed_server_takes_the_first_administrator_only() {
    let world = World::with(Config { open_registration: false, ..config() });
    let answer = world.auth.register(wish("ann")).await;
    assert!(matches!(answer, Err(SignInError::RegistrationClosed)));
    let token = world.auth.setup_token().await.unwrap();
    let admin = Register { setup_token: token, ..wish("ann") };
    assert_eq!(world.auth.register(admin).await.unwrap().role, ServerRole::Admin);
}
