//! permessage-deflate: compressed once for all who take it, and never a burden for a connection.

use klatch_domain::{RoomId, UserId};
use klatch_realtime::RealtimeConfig;
use serde_json::Value;

use crate::client::Client;
use crate::raw::{FIN, RSV1, Raw, TEXT, close, frame, inflated};
use crate::world::Server;

const DEFLATE: Option<&str> = Some("permessage-deflate; client_max_window_bits");
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const PING: &[u8] = br#"{"type":"ping"}"#;

/// A room of one user who says things.
async fn room(server: &Server) -> (UserId, RoomId) {
    let ann = server.world.user("ann").await;
    (ann, server.world.room(&[ann]))
}

/// A connection that gets live events at once.
async fn live(server: &Server, user: UserId, offer: Option<&str>) -> Raw {
    let mut raw = Raw::open(server, user, offer).await;
    raw.write(&frame(FIN | TEXT, PING)).await;
    let (_, pong) = raw.frame().await.unwrap();
    assert!(pong.starts_with(br#"{"type":"pong","payload":{"#));
    raw
}

/// The next frame's text, and whether it came compressed.
async fn text(raw: &mut Raw) -> (Value, bool) {
    let (first, payload) = raw.frame().await.unwrap();
    let is_packed = first & RSV1 != 0;
    assert_eq!(first & !RSV1, FIN | TEXT);
    let text = if is_packed { inflated(&payload) } else { payload };
    (serde_json::from_slice(&text).unwrap(), is_packed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_compressed_once_for_all_who_agreed_and_says_the_same_to_others() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let (ann, room) = room(&server).await;
    let mut one = live(&server, ann, DEFLATE).await;
    let mut two = live(&server, ann, Some("permessage-deflate")).await;
    let mut plain = live(&server, ann, None).await;
    let mut other = Client::connect(&server, ann).await;
    other.ping().await;
    assert_eq!(one.extensions.as_deref(), Some(AGREED));
    assert_eq!((two.extensions.as_deref(), plain.extensions.as_deref()), (Some(AGREED), None));
    for text_of_it in ["hi", &"la la ".repeat(20), &"ohm ".repeat(10_000)] {
        let before = server.realtime.stats().snapshot().events_packed;
        server.world.say(room, ann, text_of_it);
        let event = other.frame_of("message").await;
        assert_eq!(event["payload"]["content"], text_of_it);
        assert_eq!(text(&mut one).await, (event.clone(), true));
        assert_eq!(text(&mut two).await, (event.clone(), true));
        assert_eq!(text(&mut plain).await, (event, false));
        assert_eq!(server.realtime.stats().snapshot().events_packed, before + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_compressed_while_nobody_takes_it_or_when_it_is_switched_off() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let (ann, room) = room(&server).await;
    let mut plain = live(&server, ann, Some("permessage-deflate; x")).await;
    server.world.say(room, ann, &"la ".repeat(500));
    assert!(!text(&mut plain).await.1);
    assert_eq!(server.realtime.stats().snapshot().events_packed, 0);
    let config = RealtimeConfig { deflate: false, ..RealtimeConfig::default() };
    let server = Server::quick(config).await;
    let (ann, room) = self::room(&server).await;
    let mut offering = live(&server, ann, DEFLATE).await;
    assert_eq!(offering.extensions, None);
    server.world.say(room, ann, &"la ".repeat(500));
    assert!(!text(&mut offering).await.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrow_window_gets_compressed_only_what_fits_into_it() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let (ann, room) = room(&server).await;
    let offer = "permessage-deflate; server_max_window_bits=10";
    let mut narrow = live(&server, ann, Some(offer)).await;
    let agreed = format!("{AGREED}; server_max_window_bits=10");
    assert_eq!(narrow.extensions.as_deref(), Some(agreed.as_str()));
    server.world.say(room, ann, &"x".repeat(500));
    assert!(text(&mut narrow).await.1);
    server.world.say(room, ann, &"x".repeat(1_024));
    assert!(!text(&mut narrow).await.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_were_held_back_or_had_to_wait_keep_their_order_and_form() {
    let server = Server::quick(RealtimeConfig::default()).await;
    let (ann, room) = room(&server).await;
    let mut raw = Raw::open(&server, ann, DEFLATE).await;
    for n in 0..50 {
        server.world.say(room, ann, &format!("{n} {}", "la ".repeat(n * 7)));
    }
    raw.write(&frame(FIN | TEXT, PING)).await;
    let (mut next, mut is_answered) = (2, false);
    while next < 52 || !is_answered {
        let (event, is_packed) = text(&mut raw).await;
        is_answered |= event["type"] == "pong";
        if event["type"] == "message" {
            assert!(is_packed);
            assert_eq!(event["payload"]["seq"], next);
            next += 1;
        }
    }
    raw.write(&close(1000, b"")).await;
    assert_eq!(raw.frame().await, Some((0x88, vec![0x03, 0xE8])));
    assert_eq!(raw.frame().await, None);
}
