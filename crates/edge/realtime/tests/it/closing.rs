//! Every close code is sent when it is due: which test sees to it.

use std::time::Duration;

use klatch_protocol::ws::close::CloseCode;
use klatch_realtime::{Leaving, RealtimeConfig};

use crate::client::{Client, PATIENCE};
use crate::world::Server;

const DOCS: &str = include_str!("../../../../../docs/protocol/websocket.md");

/// The code's test: its file and name.
fn test_of(code: CloseCode) -> (&'static str, &'static str) {
    let (live, slow) = (include_str!("live.rs"), include_str!("slow.rs"));
    let (standing, wire) = (include_str!("standing.rs"), include_str!("wire.rs"));
    match code {
        CloseCode::Normal => (wire, "a_close_is_answered_and_the_connection_ends"),
        CloseCode::Leaving => (standing, "a_silent_client_is_pinged_and_then_closed"),
        CloseCode::ProtocolError
        | CloseCode::Unsupported
        | CloseCode::InvalidUtf8
        | CloseCode::TooBig => (wire, "broken_frames_end_the_connection_with_the_right_code"),
        CloseCode::Restart => (include_str!("closing.rs"), "a_restart_tells_everyone_to_come_back"),
        CloseCode::TokenExpired => {
            (standing, "an_ended_token_closes_unless_a_new_one_came_in_time")
        }
        CloseCode::SlowConsumer => {
            (slow, "who_asks_and_does_not_read_is_closed_and_loses_nothing_by_resuming")
        }
        CloseCode::BadFrames => {
            (live, "refusals_and_frames_that_are_not_understood_are_answered_by_request")
        }
        CloseCode::AuthenticationFailed => {
            (standing, "a_token_of_another_user_or_of_nobody_ends_the_connection")
        }
        CloseCode::RateLimited => (slow, "too_many_frames_are_refused_and_going_on_with_it_closes"),
        CloseCode::Draining => (standing, "a_drain_tells_everyone_when_to_come_back_and_ends"),
        CloseCode::SessionRevoked => (standing, "a_revoked_session_closes_within_two_seconds"),
    }
}

#[test]
fn every_close_code_has_a_test_that_sees_it_and_a_row_in_the_docs() {
    for code in CloseCode::ALL {
        let (file, name) = test_of(code);
        let number = code.number();
        let after = file.split_once(&format!("fn {name}(")).map(|(_, after)| after);
        let test = after.and_then(|after| after.split("\n}\n").next()).unwrap_or_default();
        assert!(test.contains(&number.to_string()), "{number}: {name}");
        assert!(DOCS.contains(&format!("\n| {number} |")), "{number} is not in the docs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_tells_everyone_to_come_back() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let ann = server.world.user("ann").await;
    let mut client = Client::connect(&server, ann).await;
    let realtime = server.realtime.clone();
    let drain = tokio::spawn(async move {
        realtime.drain(Leaving::Restart, Duration::from_secs(2)).await;
    });
    assert_eq!(client.close_code().await, Some(1012));
    tokio::time::timeout(PATIENCE, drain).await.unwrap().unwrap();
}
