use std::time::Duration;

use klatch_domain::audit::By;
use klatch_domain::user::ServerRole;
use klatch_domain::{Sealed, Timestamp, UserId};
use klatch_ports::accounts::{Account, AccountStore as _};
use klatch_ports::api::accounts::{AccountApi, AccountView, NewAccount};
use klatch_ports::api::queries::{Page, PageRequest};

use super::*;

fn person(world: &World) -> Account {
    let user = UserId::fresh(&world.clock, &*world.entropy);
    Account {
        user,
        password_hash: None,
        role: ServerRole::Member,
        bot: false,
        banned: false,
        created_at: Timestamp(0),
        profile: Sealed { person: user, bytes: Vec::new().into() },
        external: None,
        announced: true,
    }
}

async fn bots(world: &World, cursor: Option<String>, limit: usize) -> Page<AccountView> {
    let page = PageRequest { cursor, limit };
    world.auth.accounts(By::Operator, page, Some(true)).await.unwrap()
}

#[tokio::test]
async fn bots_are_found_behind_any_number_of_people_in_pages_that_are_bounded() {
    let world = World::new();
    let people: Vec<_> = (0..2_300).map(|_| person(&world)).collect();
    world.accounts.put(&people).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    let mut made = Vec::new();
    for name in ["abacus", "beeper", "clock"] {
        let role = ServerRole::Member;
        let username = name.to_owned();
        let wish = NewAccount { username, display_name: None, email: None, role, bot: true };
        made.push(AccountApi::make_account(&world.auth, By::Operator, wish).await.unwrap().user);
        world.clock.advance(Duration::from_secs(1));
    }
    // So many people are looked at, and nobody is found: there is more.
    let first = bots(&world, None, 2).await;
    assert!(first.items.is_empty());
    let second = bots(&world, first.next, 2).await;
    assert_eq!(second.items.iter().map(|it| it.user).collect::<Vec<_>>(), made[..2]);
    let third = bots(&world, second.next, 2).await;
    assert_eq!(third.items.iter().map(|it| it.user).collect::<Vec<_>>(), made[2..]);
    assert_eq!(third.next, None);
    // A page that is just full is the last one.
    assert_eq!(bots(&world, Some(made[0].to_string()), 2).await.next, None);
}
