use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use klatch_domain::audit::By;
use klatch_domain::user::ServerRole;
use klatch_ports::PortResult;
use klatch_ports::api::accounts::{AccountApi, AccountChange, NewAccount, PasswordChange};
use klatch_ports::api::auth::TokenVerifier as _;
use klatch_ports::mail::{Handover, Letter, Mailer};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::*;

const NEW_PASSWORD: &str = "quite another one";
const AN_HOUR: Duration = Duration::from_hours(1);

/// A mail server that takes letters, or does with the next one to an address as it is told.
struct Post {
    begun: Instant,
    away: AtomicBool,
    answers: Mutex<Vec<(&'static str, Handover)>>,
    tries: watch::Sender<Vec<(Duration, Letter)>>,
    taken: watch::Sender<Vec<Letter>>,
}

#[async_trait]
impl Mailer for Post {
    async fn send(&self, letter: &Letter) -> PortResult<Handover> {
        self.tries.send_modify(|tries| tries.push((self.begun.elapsed(), letter.clone())));
        if self.away.load(Ordering::SeqCst) {
            return Err(PortError::new(ErrorKind::Unavailable, "post", "send"));
        }
        let mut answers = self.answers.lock();
        if let Some(at) = answers.iter().position(|(to, _)| *to == letter.to) {
            return Ok(answers.remove(at).1);
        }
        self.taken.send_modify(|taken| taken.push(letter.clone()));
        Ok(Handover::Taken)
    }
}

impl Post {
    fn on(world: &mut World) -> Arc<Self> {
        let post = Arc::new(Self {
            begun: Instant::now(),
            away: AtomicBool::new(false),
            answers: Mutex::default(),
            tries: watch::Sender::default(),
            taken: watch::Sender::default(),
        });
        world.auth.parts.mailer = Some(Arc::clone(&post) as _);
        post
    }

    async fn taken(&self, count: usize) -> Vec<Letter> {
        let mut taken = self.taken.subscribe();
        let found = timeout(AN_HOUR, taken.wait_for(|taken| taken.len() >= count)).await;
        found.expect("no letter within an hour").unwrap().clone()
    }

    async fn tried(&self, count: usize) -> Vec<(Duration, Letter)> {
        let mut tries = self.tries.subscribe();
        let found = timeout(AN_HOUR, tries.wait_for(|tries| tries.len() >= count)).await;
        found.expect("no attempt within an hour").unwrap().clone()
    }
}

/// Runs `test` while letters are sent.
async fn sending(world: &World, test: impl Future<Output = ()>) {
    tokio::select! {
        () = test => {}
        () = world.auth.run_letters() => panic!("letters ended"),
    }
}

fn token_in(letter: &Letter) -> String {
    let start = "http://127.0.0.1:8080/#/reset/";
    let link = letter.text.lines().find_map(|line| line.strip_prefix(start));
    link.expect("no link").to_owned()
}

async fn ask(world: &World, login: &str) {
    world.auth.request_reset(login, "here").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_password_brings_a_letter_whose_link_works_once_and_ends_all_sessions() {
    let mut world = World::new();
    let post = Post::on(&mut world);
    let ann = world.register("ann").await;
    sending(&world, async {
        ask(&world, " ANN@example.org").await;
        let letter = post.taken(1).await.remove(0);
        assert_eq!(letter.to, "ann@example.org");
        // The clock stands at midnight; links are good for half an hour.
        assert!(letter.text.contains("until 2026-01-01 00:30 UTC"), "{}", letter.text);
        let token = token_in(&letter);
        world.auth.reset_password(&token, NEW_PASSWORD.to_owned()).await.unwrap();
        assert!(world.auth.reset_password(&token, NEW_PASSWORD.to_owned()).await.is_err());
        assert!(world.auth.verify(&ann.access_token).await.is_err());
        assert!(world.auth.login("ann", PASSWORD, "d", "here").await.is_err());
        world.auth.login("ann", NEW_PASSWORD, "d", "here").await.unwrap();
        // Whoever owns the account hears of it.
        let notice = post.taken(2).await.remove(1);
        assert_eq!(notice.subject, "Your password was changed");
        assert!(notice.text.contains("2026-01-01 00:00 UTC"), "{}", notice.text);
        assert!(!notice.text.contains("/reset/"));
    })
    .await;
    assert_eq!(world.auth.letter_stats().sent, 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_bots_and_the_banned_get_no_letter_and_the_answer_does_not_tell() {
    let mut world = World::new();
    let post = Post::on(&mut world);
    let (ann, bea) = (world.register("ann").await, world.register("bea").await);
    let ban = AccountChange { banned: Some(true), role: None };
    world.auth.change_account(By::Operator, bea.user, ban).await.unwrap();
    let bot = NewAccount {
        username: "robot".to_owned(),
        email: Some("robot@example.org".to_owned()),
        display_name: None,
        role: ServerRole::Member,
        bot: true,
    };
    AccountApi::make_account(&world.auth, By::Operator, bot).await.unwrap();
    sending(&world, async {
        for login in ["nobody", "no@example.org", "", "bea", "robot", "x\r\nBcc: y@z", "ann"] {
            ask(&world, login).await;
        }
        assert_eq!(post.taken(1).await[0].to, "ann@example.org");
    })
    .await;
    assert_eq!(post.tries.borrow().len(), 1);
    // Asking looks at nothing: it works the same while nobody looks names up.
    for login in ["ann", "nobody"] {
        ask(&world, login).await;
    }
    world.auth.account_gone(ann.user);
    assert_eq!(world.auth.letter_stats().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn while_the_mail_server_is_away_one_letter_is_tried_with_longer_pauses_and_then_all_arrive()
{
    let mut world = World::new();
    let post = Post::on(&mut world);
    for name in ["ann", "bea", "cy"] {
        world.register(name).await;
    }
    post.away.store(true, Ordering::SeqCst);
    sending(&world, async {
        for login in ["ann", "bea", "cy", "ann"] {
            ask(&world, login).await;
        }
        let attempts = post.tried(9).await;
        let pauses: Vec<_> =
            attempts.windows(2).map(|two| two[1].0.saturating_sub(two[0].0).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60, 60]);
        post.away.store(false, Ordering::SeqCst);
        let taken = post.taken(3).await;
        let mut to: Vec<_> = taken.iter().map(|letter| letter.to.as_str()).collect();
        to.sort_unstable();
        // Who asks again while a letter waits gets one.
        assert_eq!(to, ["ann@example.org", "bea@example.org", "cy@example.org"]);
        for letter in &taken {
            // The same letter at every attempt, with the same link.
            let before = attempts.iter().find(|(_, tried)| tried.to == letter.to);
            assert!(before.is_none_or(|(_, before)| before == letter));
            let secret = token_in(letter);
            world.auth.reset_password(&secret, NEW_PASSWORD.to_owned()).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_is_put_off_or_refused_holds_no_other_up() {
    let mut world = World::new();
    let post = Post::on(&mut world);
    for name in ["ann", "bea", "cy"] {
        world.register(name).await;
    }
    post.answers.lock().extend([
        ("ann@example.org", Handover::Never(550)),
        ("bea@example.org", Handover::Later(450)),
    ]);
    sending(&world, async {
        for login in ["ann", "bea", "cy"] {
            ask(&world, login).await;
        }
        let taken = post.taken(2).await;
        assert_eq!(taken[0].to, "cy@example.org");
        assert_eq!(taken[1].to, "bea@example.org");
        let tries = post.tries.borrow().clone();
        let second = tries.iter().rfind(|(_, letter)| letter.to == "bea@example.org").unwrap();
        assert_eq!((tries.len(), second.0.as_secs()), (4, 2));
    })
    .await;
    let stats = world.auth.letter_stats();
    assert_eq!((stats.sent, stats.refused, stats.waiting), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_could_not_be_sent_in_time_is_given_up_and_a_notice_waits_a_day() {
    let mut world = World::new();
    let post = Post::on(&mut world);
    let ann = world.register("ann").await;
    post.away.store(true, Ordering::SeqCst);
    let change = PasswordChange {
        user: ann.user,
        keep: None,
        current: PASSWORD.to_owned(),
        new: NEW_PASSWORD.to_owned(),
        address: "here".to_owned(),
    };
    world.auth.change_password(change).await.unwrap();
    sending(&world, async {
        ask(&world, "ann").await;
        tokio::time::sleep(Duration::from_mins(19)).await;
        assert_eq!(world.auth.letter_stats().waiting + world.auth.letter_stats().given_up, 2);
        tokio::time::sleep(Duration::from_mins(3)).await;
        assert_eq!(world.auth.letter_stats().given_up, 1, "the link");
        tokio::time::sleep(Duration::from_hours(24)).await;
    })
    .await;
    let stats = world.auth.letter_stats();
    assert_eq!((stats.given_up, stats.waiting, stats.sent), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn more_letters_than_may_wait_are_dropped_and_counted() {
    let mut world = World::new();
    let _post = Post::on(&mut world);
    for n in 0..300 {
        let user = klatch_domain::UserId::from_bits(n);
        world.auth.write_to(user, crate::letters::Kind::PasswordChanged);
    }
    for _ in 0..300 {
        world.auth.letters.ask("ann".to_owned());
    }
    let stats = world.auth.letter_stats();
    assert_eq!((stats.waiting, stats.dropped), (256, 44 + 44));
}
