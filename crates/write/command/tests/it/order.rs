//! seq has no gaps and no twins, whoever writes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use klatch_domain::event::Change;
use klatch_domain::room::Visibility;
use klatch_domain::{MessageId, RoomId, Seq, TimelineEvent};
use klatch_memory::log::MemoryLog;
use klatch_ports::api::commands::CommandApi;
use klatch_ports::log::{Append, Completion, EventAppender};

use crate::world::{World, channel, keyed, text};

/// Seqs 1, 2, 3 …; ordinals 1, 2, 3 … over the messages; ids made of them; times never go back.
fn check_timeline(room: RoomId, events: &[TimelineEvent]) {
    let mut ordinal = 0;
    let mut time = klatch_domain::Timestamp(0);
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.seq, Seq(index as u64 + 1));
        assert!(event.at >= time);
        time = event.at;
        if let Change::MessageSent(sent) = &event.change {
            ordinal += 1;
            assert_eq!(sent.ordinal.map(|o| o.0), Some(ordinal));
            assert_eq!(sent.id, MessageId::new(room, event.seq, event.at));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_sends_of_many_people_get_consecutive_numbers() {
    let world = World::new(1);
    let commands = world.instance().await;
    let mut people = Vec::new();
    for n in 0..8 {
        people.push(world.person(&format!("p{n}")).await);
    }
    let (owner, others) = people.split_first().unwrap();
    let room = channel(&commands, *owner, "busy", Visibility::Private, others).await;
    let sends = people.iter().flat_map(|actor| (0..100).map(move |n| (*actor, n)));
    let answers = join_all(sends.map(|(actor, n)| {
        let commands = Arc::clone(&commands);
        async move { commands.send_message(actor, room, text(&format!("{n}"))).await.unwrap() }
    }))
    .await;
    let seqs: BTreeSet<u64> = answers.iter().map(|sent| sent.seq.0).collect();
    assert_eq!(seqs, (2..=801).collect());
    check_timeline(room, &world.timeline(room).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_of_one_caller_submitted_in_turn_are_appended_in_that_order() {
    let world = World::new(2);
    let commands = world.instance().await;
    let ann = world.person("ann").await;
    let room = channel(&commands, ann, "mine", Visibility::Private, &[]).await;
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1000);
    for n in 0..1000u64 {
        let sender = sender.clone();
        let reply = Box::new(move |answer: klatch_ports::api::ServiceResult<_>| {
            let sent: klatch_ports::api::commands::Sent = answer.unwrap();
            sender.try_send((n, sent.seq.0)).unwrap();
        });
        commands.submit_message(ann, room, text("x"), reply);
    }
    for _ in 0..1000 {
        let (n, seq) = receiver.recv().await.unwrap();
        assert_eq!(seq, n + 2);
    }
}

/// Calls back on threads of its own, as logs on disk do.
struct OnItsOwnThreads(Arc<MemoryLog>);

#[async_trait]
impl EventAppender for OnItsOwnThreads {
    fn submit(&self, append: Append, done: Completion) {
        let elsewhere = |outcome| drop(std::thread::spawn(move || done(outcome)));
        self.0.submit(append, Box::new(elsewhere));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_are_answered_when_the_log_calls_back_outside_the_runtime() {
    let world = World::new(9);
    let commands = world.instance_on(Arc::new(OnItsOwnThreads(world.log.clone()))).await;
    let ann = world.person("ann").await;
    let room = channel(&commands, ann, "mine", Visibility::Private, &[]).await;
    // One after another in the queue, with keys to look up, repeats and refusals among them.
    let eve = world.person("eve").await;
    let sends = (0..60).map(|n| {
        let commands = Arc::clone(&commands);
        let actor = if n % 5 == 4 { eve } else { ann };
        async move { commands.send_message(actor, room, keyed("x", &format!("{}", n / 2))).await }
    });
    let answers = tokio::time::timeout(Duration::from_secs(20), join_all(sends)).await;
    let refused = answers.unwrap().iter().filter(|answer| answer.is_err()).count();
    assert_eq!(refused, 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_writing_to_one_room_leave_no_gap_and_no_twin() {
    let world = World::new(3);
    let (first, second) = (world.instance().await, world.instance().await);
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let room = channel(&first, ann, "shared", Visibility::Private, &[bob]).await;
    let send = |commands: &Arc<klatch_command::CommandService>, actor| {
        let commands = Arc::clone(commands);
        async move {
            let mut seqs = Vec::new();
            for n in 0..60 {
                // Losing the race too often is told as "busy": the caller comes again.
                loop {
                    match commands.send_message(actor, room, text(&format!("{n}"))).await {
                        Ok(sent) => break seqs.push(sent.seq.0),
                        Err(klatch_ports::api::ServiceError::Busy) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            seqs
        }
    };
    let (mut seqs, more) =
        tokio::join!(tokio::spawn(send(&first, ann)), tokio::spawn(send(&second, bob)));
    let mut seqs = std::mem::take(seqs.as_mut().unwrap());
    seqs.extend(more.unwrap());
    seqs.sort_unstable();
    assert_eq!(seqs, (2..=121).collect::<Vec<_>>());
    check_timeline(room, &world.timeline(room).await);
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_take_the_room_with_it() {
    let world = World::new(4);
    let commands = world.instance().await;
    let ann = world.person("ann").await;
    let room = channel(&commands, ann, "late", Visibility::Private, &[]).await;
    let before = commands.send_message(ann, room, text("before")).await.unwrap();
    world.clock.set(klatch_domain::Timestamp(before.at.0 - 3_600_000));
    let after = commands.send_message(ann, room, text("after")).await.unwrap();
    assert_eq!(after.at, before.at);
    assert!(after.message > before.message);
    check_timeline(room, &world.timeline(room).await);
}

/// A log that answers on threads of its own, as the one on disk does.
struct OnOtherThreads(Arc<klatch_memory::log::MemoryLog>);

#[async_trait::async_trait]
impl EventAppender for OnOtherThreads {
    fn submit(&self, append: Append, done: Completion) {
        let log = Arc::clone(&self.0);
        std::thread::spawn(move || log.submit(append, done));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_answers_on_its_own_threads_is_as_good_as_any() {
    let world = World::new(5);
    let commands = world.instance_on(Arc::new(OnOtherThreads(world.log.clone()))).await;
    let mut people = Vec::new();
    for n in 0..20 {
        people.push(world.person(&format!("p{n}")).await);
    }
    let (owner, others) = people.split_first().unwrap();
    let room = channel(&commands, *owner, "busy", Visibility::Private, others).await;
    // Newcomers, edits and removals make the queue wait for the stores after an append.
    let work = people.iter().map(|actor| {
        let (commands, actor, owner) = (Arc::clone(&commands), *actor, *owner);
        async move {
            for n in 0..10 {
                let sent = commands.send_message(actor, room, text(&format!("{n}"))).await.unwrap();
                let edited = commands.edit_message(actor, room, sent.message, "new".into()).await;
                edited.unwrap();
                if actor.user != owner.user {
                    commands.remove_member(owner, room, actor.user).await.unwrap();
                    commands
                        .add_member(owner, room, actor.user, crate::world::MEMBER)
                        .await
                        .unwrap();
                }
            }
        }
    });
    join_all(work).await;
    check_timeline(room, &world.timeline(room).await);
}
