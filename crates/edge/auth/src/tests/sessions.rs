use std::time::Duration;

use klatch_domain::SessionId;
use klatch_domain::audit::By;
use klatch_ports::accounts::{Account, AccountStore, Session, SessionStore};
use klatch_ports::api::accounts::{AccountApi as _, AccountChange};
use klatch_ports::api::auth::{SignInError, TokenError, TokenVerifier as _};

use super::*;
use crate::Removed;

#[tokio::test]
async fn a_person_signs_in_by_name_or_address() {
    let world = World::new();
    let user = world.register("ann").await.user;
    for login in ["ann", "ANN", " ann ", "ann@example.org", "Ann@Example.ORG"] {
        let signed_in = world.auth.login(login, PASSWORD, "test", "here").await.unwrap();
        assert_eq!(signed_in.user, user, "{login}");
    }
    for (login, password) in [("ann", "wrong password"), ("nobody", PASSWORD), ("", PASSWORD)] {
        let answer = world.auth.login(login, password, "test", "here").await;
        assert!(matches!(answer, Err(SignInError::WrongCredentials)), "{login}");
    }
}

#[tokio::test]
async fn failures_slow_the_next_attempt_down_and_the_right_password_waits_too() {
    let world = World::new();
    world.register("ann").await;
    for _ in 0..5 {
        let answer = world.auth.login("ann", "wrong password", "test", "192.0.2.1").await;
        assert!(matches!(answer, Err(SignInError::WrongCredentials)));
    }
    let answer = world.auth.login("Ann", PASSWORD, "test", "192.0.2.1").await;
    assert!(matches!(answer, Err(SignInError::TooManyAttempts { retry_after_seconds: 1 })));
    // From elsewhere the owner gets in.
    world.auth.login("ann", PASSWORD, "test", "198.51.100.1").await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    world.auth.login("ann", PASSWORD, "test", "192.0.2.1").await.unwrap();
}

#[tokio::test]
async fn a_refresh_token_works_once() {
    let world = World::new();
    let first = world.register("ann").await;
    world.clock.advance(Duration::from_mins(1));
    let second = world.auth.refresh(&first.refresh_token).await.unwrap();
    assert_ne!(first.refresh_token, second.refresh_token);
    assert_ne!(first.access_token, second.access_token);
    assert_eq!(first.session, second.session);
    world.clock.advance(Duration::from_mins(1));
    world.auth.refresh(&second.refresh_token).await.unwrap();
}

#[tokio::test]
async fn a_token_used_twice_ends_the_session_and_all_its_tokens() {
    let world = World::new();
    let stolen = world.register("ann").await;
    let owner = world.auth.refresh(&stolen.refresh_token).await.unwrap();
    world.clock.advance(Duration::from_secs(11));
    let thief = world.auth.refresh(&stolen.refresh_token).await;
    assert!(matches!(thief, Err(SignInError::InvalidRefreshToken)));
    let answer = world.auth.refresh(&owner.refresh_token).await;
    assert!(matches!(answer, Err(SignInError::InvalidRefreshToken)));
    for token in [&stolen.access_token, &owner.access_token] {
        assert_eq!(world.auth.verify(token).await, Err(TokenError::Revoked));
    }
    // Other sessions go on.
    world.auth.login("ann", PASSWORD, "test", "here").await.unwrap();
}

#[tokio::test]
async fn an_old_token_ends_the_session_even_within_the_grace_of_a_newer_one() {
    let world = World::new();
    let first = world.register("ann").await;
    let second = world.auth.refresh(&first.refresh_token).await.unwrap();
    world.auth.refresh(&second.refresh_token).await.unwrap();
    let answer = world.auth.refresh(&first.refresh_token).await;
    assert!(matches!(answer, Err(SignInError::InvalidRefreshToken)));
    assert_eq!(world.auth.verify(&second.access_token).await, Err(TokenError::Revoked));
}

#[tokio::test]
async fn the_identical_retry_within_ten_seconds_gets_the_same_next_token() {
    let world = World::new();
    let first = world.register("ann").await;
    let lost = world.auth.refresh(&first.refresh_token).await.unwrap();
    world.clock.advance(Duration::from_secs(10));
    let retried = world.auth.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(lost.refresh_token, retried.refresh_token);
    assert!(world.auth.verify(&retried.access_token).await.is_ok());
    world.clock.advance(Duration::from_mins(1));
    world.auth.refresh(&retried.refresh_token).await.unwrap();
}

#[tokio::test]
async fn refreshes_at_once_all_end_up_with_one_valid_token() {
    let world = World::new();
    let first = world.register("ann").await;
    let tabs = (0..8).map(|_| world.auth.refresh(&first.refresh_token));
    let answers = futures::future::join_all(tabs).await;
    let mut tokens: Vec<_> = answers.into_iter().map(|it| it.unwrap().refresh_token).collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
    world.clock.advance(Duration::from_mins(1));
    world.auth.refresh(&tokens[0]).await.unwrap();
}

#[tokio::test]
async fn texts_that_this_server_never_made_end_no_session() {
    let world = World::new();
    let signed_in = world.register("ann").await;
    let token = &signed_in.refresh_token;
    for position in 0..token.len() {
        let mut bent = token.clone().into_bytes();
        bent[position] = if bent[position] == b'A' { b'B' } else { b'A' };
        let bent = String::from_utf8(bent).unwrap();
        let answer = world.auth.refresh(&bent).await;
        assert!(matches!(answer, Err(SignInError::InvalidRefreshToken)), "{position}");
    }
    for text in ["", "x", &token[1..], &format!("{token}A"), &signed_in.access_token] {
        let answer = world.auth.refresh(text).await;
        assert!(matches!(answer, Err(SignInError::InvalidRefreshToken)));
    }
    assert!(world.auth.verify(&signed_in.access_token).await.is_ok());
    world.auth.refresh(token).await.unwrap();
}

#[tokio::test]
async fn a_session_ends_by_itself_when_it_is_not_used() {
    let world = World::new();
    let signed_in = world.register("ann").await;
    world.clock.advance(Duration::from_hours(30 * 24));
    let answer = world.auth.refresh(&signed_in.refresh_token).await;
    assert!(matches!(answer, Err(SignInError::InvalidRefreshToken)));
    assert!(world.auth.sessions(signed_in.user).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_ended_a_day_ago_is_swept_and_the_reuse_of_a_living_session_is_still_noticed() {
    let world = World::new();
    let old = world.register("ann").await;
    world.auth.hand_out_reset(By::Operator, old.user).await.unwrap();
    world.clock.advance(Duration::from_hours(24));
    assert_eq!(world.auth.sweep_ended().await.unwrap(), Removed { sessions: 0, resets: 0 });
    world.clock.advance(Duration::from_mins(31));
    assert_eq!(world.auth.sweep_ended().await.unwrap(), Removed { sessions: 0, resets: 1 });
    let stolen = world.auth.login("ann", PASSWORD, "test", "here").await.unwrap();
    let owner = world.auth.refresh(&stolen.refresh_token).await.unwrap();
    // More than one turn looks at.
    for n in 0..600 {
        let session = Session {
            id: SessionId::fresh(&world.clock, &*world.entropy),
            user: old.user,
            refresh_hash: [1; 32],
            previous: None,
            device: n.to_string(),
            created_at: world.clock.now(),
            used_at: world.clock.now(),
            expires_at: world.clock.now(),
        };
        world.accounts.create(&session).await.unwrap();
    }
    world.clock.advance(Duration::from_hours(30 * 24 - 1));
    // The first has ended, and is kept for a day.
    assert_eq!(world.auth.sweep_ended().await.unwrap().sessions, 600);
    assert!(SessionStore::get(&*world.accounts, old.session).await.unwrap().is_some());
    let owner = world.auth.refresh(&owner.refresh_token).await.unwrap();
    world.clock.advance(Duration::from_hours(24));
    assert_eq!(world.auth.sweep_ended().await.unwrap().sessions, 1);
    assert!(SessionStore::get(&*world.accounts, old.session).await.unwrap().is_none());
    let answer = world.auth.refresh(&old.refresh_token).await;
    assert!(matches!(answer, Err(SignInError::InvalidRefreshToken)), "as before it was swept");
    assert!(world.auth.refresh(&stolen.refresh_token).await.is_err());
    assert!(world.auth.refresh(&owner.refresh_token).await.is_err(), "reuse ended the session");
}

#[tokio::test]
async fn logging_out_ends_this_session_at_once_and_no_other() {
    let world = World::new();
    let one = world.register("ann").await;
    let two = world.auth.login("ann", PASSWORD, "phone\n\u{7}", "here").await.unwrap();
    assert!(world.auth.verify(&one.access_token).await.is_ok());
    let open = world.auth.verify(&one.access_token).await.unwrap();
    let other = world.auth.verify(&two.access_token).await.unwrap();
    world.auth.logout(one.session).await.unwrap();
    assert_eq!(world.auth.recheck(&open), Err(TokenError::Revoked));
    assert_eq!(world.auth.recheck(&other), Ok(other.actor));
    assert_eq!(world.auth.verify(&one.access_token).await, Err(TokenError::Revoked));
    assert!(world.auth.refresh(&one.refresh_token).await.is_err());
    assert!(world.auth.verify(&two.access_token).await.is_ok());
    let sessions = world.auth.sessions(one.user).await.unwrap();
    assert_eq!(sessions.len(), 1);
    assert_eq!((sessions[0].id, sessions[0].device.as_str()), (two.session, "phone"));
}

#[tokio::test]
async fn nobody_ends_the_session_of_another() {
    let world = World::new();
    let ann = world.register("ann").await;
    let eve = world.register("eve").await;
    assert!(!world.auth.end_session(eve.user, ann.session).await.unwrap());
    assert!(world.auth.verify(&ann.access_token).await.is_ok());
    assert!(world.auth.end_session(ann.user, ann.session).await.unwrap());
    assert!(world.auth.verify(&ann.access_token).await.is_err());
}

#[tokio::test]
async fn the_longest_unused_of_a_hundred_sessions_makes_room() {
    let world = World::new();
    let first = world.register("ann").await;
    for _ in 0..100 {
        world.clock.advance(Duration::from_millis(1));
        world.auth.login("ann", PASSWORD, "test", "here").await.unwrap();
    }
    assert_eq!(world.auth.sessions(first.user).await.unwrap().len(), 100);
    assert_eq!(world.auth.verify(&first.access_token).await, Err(TokenError::Revoked));
}

#[tokio::test]
async fn a_lock_counts_at_once_and_is_told_to_who_knows_the_password() {
    let world = World::new();
    let signed_in = world.register("ann").await;
    let open = world.auth.verify(&signed_in.access_token).await.unwrap();
    let lock = |banned| AccountChange { banned: Some(banned), role: None };
    world.auth.change_account(By::Operator, signed_in.user, lock(true)).await.unwrap();
    assert_eq!(world.auth.verify(&signed_in.access_token).await, Err(TokenError::Revoked));
    assert_eq!(world.auth.recheck(&open), Err(TokenError::Revoked));
    let right = world.auth.login("ann", PASSWORD, "test", "here").await;
    assert!(matches!(right, Err(SignInError::AccountLocked)));
    let wrong = world.auth.login("ann", "wrong password", "test", "here").await;
    assert!(matches!(wrong, Err(SignInError::WrongCredentials)));
    let refreshed = world.auth.refresh(&signed_in.refresh_token).await;
    assert!(matches!(refreshed, Err(SignInError::InvalidRefreshToken)));
    world.auth.change_account(By::Operator, signed_in.user, lock(false)).await.unwrap();
    // The session has ended for good.
    assert_eq!(world.auth.recheck(&open), Err(TokenError::Revoked));
    world.auth.login("ann", PASSWORD, "test", "here").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_another_instance_did_counts_within_a_second() {
    let world = World::new();
    let one = world.register("ann").await;
    let two = world.auth.login("ann", PASSWORD, "test", "here").await.unwrap();
    assert!(world.auth.verify(&one.access_token).await.is_ok());
    assert!(world.auth.verify(&two.access_token).await.is_ok());
    SessionStore::revoke(&*world.accounts, one.session).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(world.auth.verify(&one.access_token).await, Err(TokenError::Revoked));
    let account = AccountStore::get(&*world.accounts, two.user).await.unwrap().unwrap();
    world.accounts.put(&[Account { banned: true, ..account }]).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(world.auth.verify(&two.access_token).await, Err(TokenError::Revoked));
}
