use std::collections::HashSet;

use klatch_domain::user::Profile;
use klatch_domain::{Timestamp, UserChange};
use klatch_ports::accounts::{AccountStore, ClaimKind, Claims as _};
use klatch_ports::api::auth::{NewUser, Provisioner as _, SignInError};

use super::*;

fn person(username: &str, email: Option<&str>) -> NewUser {
    NewUser {
        username: username.to_owned(),
        display_name: username.to_owned(),
        email: email.map(str::to_owned),
        bot: false,
        created_at: Timestamp(1_000),
        external: Some(7),
    }
}

async fn profiles(world: &World) -> Vec<Profile> {
    let mut found = Vec::new();
    for event in world.events().await {
        let Event::User(event) = event else { panic!("{event:?}") };
        let UserChange::Registered { profile, external, .. } = event.change else { panic!() };
        assert_eq!((event.at, external), (Timestamp(1_000), Some(7)));
        found.push(world.ring.open_profile(&profile).await.unwrap().unwrap());
    }
    found
}

#[tokio::test]
async fn imported_people_get_names_that_fit_and_keep_theirs_as_shown() {
    let world = World::new();
    let wanted = ["José Müller", "ann", "Ann", "ANN ", "漢字", ""];
    let people = wanted.iter().map(|name| person(name, None)).collect();
    let made = world.auth.provision(people).await.unwrap();
    let profiles = profiles(&world).await;
    let names: Vec<_> = profiles.iter().map(|it| it.username.as_str()).collect();
    assert_eq!(names, ["jose-muller", "ann", "ann-2", "ann-3", "user", "user-2"]);
    let shown: Vec<_> = profiles.iter().map(|it| it.display_name.as_str()).collect();
    assert_eq!(shown, ["José Müller", "ann", "Ann", "ANN", "漢字", "user-2"]);
    for (index, made) in made.iter().enumerate() {
        let (user, position) = made.unwrap();
        assert_eq!(position.offset, Offset(index as u64 + 1));
        let holder = world.accounts.holder(ClaimKind::Username, names[index]).await.unwrap();
        assert_eq!(holder, Some(user.bits()));
    }
    assert!(world.accounts.unannounced(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn thousands_of_one_name_are_all_distinct() {
    let world = World::new();
    let people = (0..2_500).map(|_| person("bob", None)).collect();
    let made = world.auth.provision(people).await.unwrap();
    assert!(made.iter().all(Result::is_ok));
    let names: HashSet<String> =
        profiles(&world).await.into_iter().map(|profile| profile.username).collect();
    assert_eq!(names.len(), 2_500);
}

#[tokio::test]
async fn an_import_never_takes_an_address_from_its_owner_and_gives_no_way_in() {
    let world = World::new();
    let owner = world.register("ann").await;
    let people = vec![
        person("other", Some("Ann@Example.org")),
        person("third", Some("not an address")),
        person("fourth", Some("d@example.org")),
        person("fifth", Some("D@example.org")),
    ];
    world.auth.provision(people).await.unwrap();
    let stored = |name: &'static str| async {
        let holder = world.accounts.holder(ClaimKind::Username, name).await.unwrap().unwrap();
        let user = klatch_domain::UserId::from_bits(holder);
        let account = AccountStore::get(&*world.accounts, user).await.unwrap().unwrap();
        world.ring.open_profile(&account.profile).await.unwrap().unwrap().email
    };
    assert_eq!(stored("other").await, None);
    assert_eq!(stored("third").await, None);
    assert_eq!(stored("fourth").await.as_deref(), Some("d@example.org"));
    assert_eq!(stored("fifth").await, None);
    let by_address = world.auth.login("ann@example.org", PASSWORD, "test", "here").await.unwrap();
    assert_eq!(by_address.user, owner.user);
    for login in ["fourth", "d@example.org"] {
        let answer = world.auth.login(login, PASSWORD, "test", "here").await;
        assert!(matches!(answer, Err(SignInError::WrongCredentials)));
    }
}

#[tokio::test]
async fn provisioning_cut_short_is_finished_by_the_sweeper() {
    let world = World::new();
    world.log.have(Trouble::LoseAppend);
    let people = (0..1_200).map(|n| person(&format!("p{n}"), None)).collect();
    assert!(world.auth.provision(people).await.is_err());
    world.log.have(Trouble::None);
    let world = world.restarted();
    let mended = world.auth.sweep().await.unwrap();
    assert_eq!(world.events().await.len(), mended);
    assert!(mended > 0 && world.accounts.unannounced(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_sweeper_that_is_faster_changes_nothing_for_who_is_provisioned() {
    let world = World::new();
    let people = |name: &str| (0..50).map(|n| person(&format!("{name}{n}"), None)).collect();
    let (made, _, more) = tokio::join!(
        world.auth.provision(people("a")),
        world.auth.sweep(),
        world.auth.provision(people("b")),
    );
    let users: HashSet<_> =
        made.unwrap().into_iter().chain(more.unwrap()).map(|made| made.unwrap().0).collect();
    assert_eq!(users.len(), 100);
    assert_eq!(world.events().await.len(), 100);
}
