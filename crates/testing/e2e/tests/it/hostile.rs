//! Connections that mean harm: each ends with the right code, and the server is no larger after.

use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use klatch_e2e::hostile::{Hostile, masked};
use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::token;

const TEXT_BEGINS: u8 = 0x01;
const GOES_ON: u8 = 0x00;
const PACKED_TEXT: u8 = 0xC1;
const PING: u8 = 0x89;
const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
/// What a server may grow by: noise of the allocator, not what it was sent.
const GROWTH_MAX: u64 = 16 << 20;

/// A server that has seen connections, so that what it keeps for good is there.
async fn warm() -> (Server, u64) {
    let server = Server::start(Settings::default()).await.unwrap();
    for n in 0..50 {
        let name = format!("guest{}", n % 5);
        let mut guest = upgraded(&server, &name).await;
        guest.send(&masked(PACKED_TEXT, &packed(br#"{"type":"ping"}"#))).await.unwrap();
        guest.send(&masked(0x88, &1000u16.to_be_bytes())).await.unwrap();
        assert_eq!(guest.close_code().await.unwrap(), Some(1000));
    }
    let bytes = resident(&server);
    (server, bytes)
}

fn resident(server: &Server) -> u64 {
    server.process().unwrap().resident_bytes().unwrap()
}

async fn upgraded(server: &Server, name: &str) -> Hostile {
    let token = token::of(name);
    Hostile::upgraded_with(server.address(), &token, DEFLATE).await.unwrap()
}

/// The data of a compressed message.
fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.flush().unwrap();
    let mut data = encoder.get_ref().clone();
    assert!(data.ends_with(&[0, 0, 0xFF, 0xFF]));
    data.truncate(data.len() - 4);
    data
}

/// The server is well, and not larger than it was.
async fn assert_unmoved(server: &Server, before: u64) {
    let grown = resident(server).saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{grown} bytes more");
    assert_eq!(server.rest().get("/readyz").await.unwrap().status, 200);
    assert!(!server.output().contains("panicked"), "{}", server.log_tail());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_tiny_fragments_end_at_the_limit_of_fragments() {
    let _turn = quiet::alone().await.unwrap();
    let (server, before) = warm().await;
    for payload in [&b""[..], b"x"] {
        let mut hostile = upgraded(&server, "fragments").await;
        hostile.send(&masked(TEXT_BEGINS, payload)).await.unwrap();
        let flood = masked(GOES_ON, payload).repeat(10_000);
        for _ in 0..100 {
            hostile.send(&flood).await.unwrap();
        }
        assert_eq!(hostile.close_code().await.unwrap(), Some(1009));
    }
    assert_unmoved(&server, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deflate_bombs_end_at_the_limit_of_a_message_without_being_inflated() {
    let _turn = quiet::alone().await.unwrap();
    let (server, before) = warm().await;
    // 64 MiB in 64 KiB: as much as a message may have.
    let bomb = packed(&vec![b' '; 64_000_000]);
    assert!(bomb.len() < 64 * 1024, "{}", bomb.len());
    let mut all = Vec::new();
    for n in 0..100 {
        let mut hostile = upgraded(&server, &format!("bomber{}", n % 10)).await;
        hostile.send(&masked(PACKED_TEXT, &bomb)).await.unwrap();
        all.push(hostile);
    }
    for hostile in &mut all {
        assert_eq!(hostile.close_code().await.unwrap(), Some(1009));
    }
    // The same in fragments, and data that is no compressed data at all.
    let mut hostile = upgraded(&server, "fragments").await;
    hostile.send(&masked(TEXT_BEGINS | 0x40, &bomb[..1_000])).await.unwrap();
    hostile.send(&masked(0x80, &bomb[1_000..])).await.unwrap();
    assert_eq!(hostile.close_code().await.unwrap(), Some(1009));
    let mut hostile = upgraded(&server, "noise").await;
    hostile.send(&masked(PACKED_TEXT, &vec![0xA5; 60_000])).await.unwrap();
    assert_eq!(hostile.close_code().await.unwrap(), Some(1007));
    drop(all);
    assert_unmoved(&server, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_pings_are_answered_in_order_up_to_what_is_allowed() {
    let _turn = quiet::alone().await.unwrap();
    let (server, before) = warm().await;
    let mut hostile = upgraded(&server, "reader").await;
    let numbers = (0..10_000u32).flat_map(|n| masked(PING, &n.to_be_bytes()));
    hostile.send(&numbers.collect::<Vec<u8>>()).await.unwrap();
    let mut pongs = 0u32;
    let closed = loop {
        match hostile.frame().await.unwrap().expect("a word before the end") {
            (0x8A, payload) => {
                assert_eq!(payload, pongs.to_be_bytes());
                pongs += 1;
            }
            (0x88, payload) => break payload,
            _ => {}
        }
    };
    assert_eq!(closed.first_chunk(), Some(&4008u16.to_be_bytes()));
    assert!((1_000..10_000).contains(&pongs), "{pongs} pongs");
    // Those who do not read either.
    let flood = masked(PING, &[b'p'; 125]).repeat(10_000);
    let mut all = Vec::new();
    for n in 0..20 {
        let mut hostile = upgraded(&server, &format!("deaf{n}")).await;
        hostile.send(&flood).await.unwrap();
        all.push(hostile);
    }
    for hostile in &mut all {
        assert_eq!(hostile.close_code().await.unwrap(), Some(4008));
    }
    drop(all);
    assert_unmoved(&server, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_handshakes_are_hung_up_on_in_time_while_others_get_in() {
    let _turn = quiet::alone().await.unwrap();
    let (server, before) = warm().await;
    let head =
        format!("GET /ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nX-Slow: ", server.address());
    let mut slow = Vec::new();
    for _ in 0..500 {
        let mut hostile = Hostile::connect(server.address()).await.unwrap();
        hostile.send(head.as_bytes()).await.unwrap();
        slow.push(hostile);
    }
    // A byte now and then does not buy time.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(9) {
        for hostile in &mut slow {
            hostile.send(b"x").await.unwrap();
        }
        drop(upgraded(&server, "quick").await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for hostile in &mut slow {
        assert!(hostile.hangs_up_within(Duration::from_secs(10)).await.unwrap());
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(15), "hung up after {took:?}");
    drop(slow);
    assert_unmoved(&server, before).await;
}
