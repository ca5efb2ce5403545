//! Who may do what is judged at the head of the room, not at what a store has by now.

use klatch_domain::Rejection;
use klatch_domain::member::MemberRole;
use klatch_domain::room::Visibility;
use klatch_ports::api::commands::CommandApi;

use crate::world::{MEMBER, World, channel, refusal, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_removal_makes_the_next_send_fail_on_any_instance() {
    let world = World::new(1);
    let (here, there) = (world.instance().await, world.instance().await);
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let room = channel(&here, ann, "a", Visibility::Private, &[bob]).await;
    for _ in 0..20 {
        there.send_message(bob, room, text("still here")).await.unwrap();
        here.remove_member(ann, room, bob.user).await.unwrap();
        for instance in [&here, &there] {
            let refused = instance.send_message(bob, room, text("gone?")).await;
            assert_eq!(refusal(refused), Rejection::RoomNotFound);
        }
        here.add_member(ann, room, bob.user, MEMBER).await.unwrap();
    }
}

#[tokio::test]
async fn strangers_learn_nothing_of_a_private_room() {
    let world = World::new(2);
    let commands = world.instance().await;
    let (ann, eve) = (world.person("ann").await, world.person("eve").await);
    let room = channel(&commands, ann, "secret", Visibility::Private, &[]).await;
    let sent = commands.send_message(ann, room, text("psst")).await.unwrap();
    let nowhere = klatch_domain::RoomId::from_bits(room.bits() ^ 1);
    for room in [room, nowhere] {
        let answers = [
            refusal(commands.send_message(eve, room, text("x")).await),
            refusal(commands.edit_message(eve, room, sent.message, "x".into()).await),
            refusal(commands.delete_message(eve, room, sent.message).await),
            refusal(commands.join(eve, room).await),
            refusal(commands.leave(eve, room).await),
            refusal(commands.add_member(eve, room, eve.user, MEMBER).await),
            refusal(commands.remove_member(eve, room, ann.user).await),
            refusal(commands.change_role(eve, room, ann.user, MEMBER).await),
            refusal(commands.archive_room(eve, room, true).await),
            refusal(commands.delete_room(eve, room).await),
        ];
        assert_eq!(answers, [Rejection::RoomNotFound; 10]);
    }
}

#[tokio::test]
async fn messages_belong_to_their_senders_and_admins() {
    let world = World::new(3);
    let commands = world.instance().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let room = channel(&commands, ann, "a", Visibility::Private, &[bob]).await;
    let sent = commands.send_message(ann, room, text("mine")).await.unwrap();
    let edit = commands.edit_message(bob, room, sent.message, "yours".into()).await;
    assert_eq!(refusal(edit), Rejection::Forbidden);
    assert_eq!(
        refusal(commands.delete_message(bob, room, sent.message).await),
        Rejection::Forbidden
    );
    commands.edit_message(ann, room, sent.message, "still mine".into()).await.unwrap();
    let his = commands.send_message(bob, room, text("his")).await.unwrap();
    commands.delete_message(ann, room, his.message).await.unwrap();
    let twice = commands.delete_message(ann, room, his.message).await;
    assert_eq!(refusal(twice), Rejection::MessageDeleted);
    let dead = commands.edit_message(bob, room, his.message, "back".into()).await;
    assert_eq!(refusal(dead), Rejection::MessageDeleted);
    let forged = klatch_domain::MessageId::from_bits(sent.message.bits() ^ (1 << 50));
    let unknown = commands.delete_message(ann, room, forged).await;
    assert_eq!(refusal(unknown), Rejection::MessageNotFound);
}

#[tokio::test]
async fn the_last_owner_stays_while_others_do() {
    let world = World::new(4);
    let commands = world.instance().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let room = channel(&commands, ann, "a", Visibility::Private, &[bob]).await;
    assert_eq!(refusal(commands.leave(ann, room).await), Rejection::LastOwner);
    let step_down = commands.change_role(ann, room, ann.user, MEMBER).await;
    assert_eq!(refusal(step_down), Rejection::LastOwner);
    commands.change_role(ann, room, bob.user, MemberRole::Owner).await.unwrap();
    commands.leave(ann, room).await.unwrap();
    assert_eq!(refusal(commands.leave(ann, room).await), Rejection::RoomNotFound);
    commands.leave(bob, room).await.unwrap();
}

#[tokio::test]
async fn people_who_do_not_exist_cannot_be_added() {
    let world = World::new(5);
    let commands = world.instance().await;
    let ann = world.person("ann").await;
    let room = channel(&commands, ann, "a", Visibility::Private, &[]).await;
    let nobody = klatch_domain::UserId::from_bits(ann.user.bits() ^ 1);
    let added = commands.add_member(ann, room, nobody, MEMBER).await;
    assert_eq!(refusal(added), Rejection::UserNotFound);
    let bob = world.person("bob").await;
    commands.add_member(ann, room, bob.user, MEMBER).await.unwrap();
    let twice = commands.add_member(ann, room, bob.user, MEMBER).await;
    assert_eq!(refusal(twice), Rejection::AlreadyMember);
}
