//! RFC 6455 and RFC 7692 as a table of cases, in the groups of the well-known suite, against the
//! role over a real socket: what is answered, and how the connection ends.
//!
//! Where that suite wants its text echoed, a `ping` of the protocol is sent here whose `requestId`
//! is the text: it comes back in the `pong`.

use klatch_domain::UserId;
use klatch_realtime::RealtimeConfig;

use crate::raw::{BINARY, CLOSE, FIN, PING, PONG, RSV1, Raw, TEXT, close, deflated, frame};
use crate::world::Server;

const MORE: u8 = 0x0;
const DEFLATE: Option<&str> = Some("permessage-deflate");
const LIMIT: usize = 65_536;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// A `pong` of the protocol with this text.
    Said(String),
    /// An `error` of the protocol.
    Refused,
    /// A pong frame with these bytes.
    Pong(Vec<u8>),
}

struct Case {
    name: String,
    bytes: Vec<u8>,
    answers: Vec<Answer>,
    /// How the connection ends; `None` for a close frame without a code.
    end: Option<u16>,
}

/// A case whose last bytes end the connection.
fn ends(name: &str, frames: &[Vec<u8>], answers: &[Answer], end: u16) -> Case {
    let (name, bytes, answers) = (name.to_owned(), frames.concat(), answers.to_vec());
    Case { name, bytes, answers, end: Some(end) }
}

/// A case that is lawful: all is answered, and the client's own close is answered in kind.
fn goes(name: &str, frames: &[Vec<u8>], answers: &[Answer]) -> Case {
    ends(name, &[frames, &[close(1000, b"")]].concat(), answers, 1000)
}

/// A `ping` of the protocol with this text in it.
fn ask(text: &str) -> Vec<u8> {
    serde_json::json!({"type": "ping", "requestId": text}).to_string().into_bytes()
}

/// The same, blown up to `length` bytes.
fn long(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = ask(text);
    bytes.resize(length, b' ');
    bytes
}

fn said(text: &str) -> Answer {
    Answer::Said(text.to_owned())
}

/// A message in fragments of the given size.
fn parts(first: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let count = payload.chunks(size).count();
    let fragment = |(at, part)| {
        let opcode = if at == 0 { first } else { MORE };
        let fin = if at + 1 == count { FIN } else { 0 };
        frame(opcode | fin, part)
    };
    payload.chunks(size).enumerate().map(fragment).collect()
}

/// What the connection answers and how it ends, when the bytes arrive in pieces of `size`.
async fn run(server: &Server, user: UserId, offer: Option<&str>, case: &Case, size: usize) {
    let mut raw = Raw::open(server, user, offer).await;
    for piece in case.bytes.chunks(size) {
        raw.write(piece).await;
    }
    let (mut answers, mut end) = (Vec::new(), None);
    while let Some((first, payload)) = raw.frame().await {
        assert_eq!(end, None, "{}: something follows the close frame", case.name);
        match first {
            CLOSE => end = Some(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            PONG => answers.push(Answer::Pong(payload)),
            _ => {
                let frame: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                answers.push(match frame["type"].as_str() {
                    Some("pong") => said(frame["requestId"].as_str().unwrap_or_default()),
                    Some("error") => Answer::Refused,
                    other => panic!("{}: {other:?}", case.name),
                });
            }
        }
        if end.is_some() {
            // As a client does that is told to go.
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut raw.tcp).await;
        }
    }
    assert_eq!(answers, case.answers, "{}, in pieces of {size}", case.name);
    assert_eq!(end, Some(case.end), "{}, in pieces of {size}", case.name);
}

/// Runs the cases as a whole and, if they are not long, byte by byte and in odd pieces.
async fn all(offer: Option<&str>, cases: Vec<Case>) {
    let server = Server::quick(RealtimeConfig::default()).await;
    let ann = server.world.user("ann").await;
    for case in &cases {
        run(&server, ann, offer, case, usize::MAX).await;
        if case.bytes.len() < 2_000 {
            run(&server, ann, offer, case, 1).await;
            run(&server, ann, offer, case, 7).await;
        } else {
            run(&server, ann, offer, case, 997).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_1_messages_of_every_length_are_answered() {
    let mut cases = Vec::new();
    for length in [125, 126, 127, 128, 65_535, LIMIT] {
        cases.push(goes(
            &format!("text of {length}"),
            &[frame(FIN | TEXT, &long("a", length))],
            &[said("a")],
        ));
    }
    cases.push(goes("empty text is no JSON", &[frame(FIN | TEXT, b"")], &[Answer::Refused]));
    let (two, answers) =
        ([frame(FIN | TEXT, &ask("1")), frame(FIN | TEXT, &ask("2"))], [said("1"), said("2")]);
    cases.push(goes("two at once", &two, &answers));
    for length in [0, 125, 126, LIMIT] {
        let name = format!("binary of {length}");
        cases.push(ends(&name, &[frame(FIN | BINARY, &vec![0xFE; length])], &[], 1003));
    }
    all(None, cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_2_pings_are_answered_in_order_and_pongs_are_not() {
    let pong = |payload: &[u8]| Answer::Pong(payload.to_vec());
    let mut cases = Vec::new();
    for payload in [&b""[..], b"Hello, world!", &[0x00, 0xff, 0xfe, 0xfd, 0x00], &[0xfe; 125]] {
        cases.push(goes("ping", &[frame(PING, payload)], &[pong(payload)]));
    }
    cases.push(ends("long ping", &[frame(PING, &[0xfe; 126])], &[], 1002));
    cases.push(goes("pong unasked", &[frame(PONG, b"")], &[]));
    let frames = [frame(PONG, b"unasked"), frame(PING, b"mine")];
    cases.push(goes("pong, then ping", &frames, &[pong(b"mine")]));
    let ten: Vec<Vec<u8>> = (0..10u8).map(|n| frame(PING, &[n])).collect();
    let pongs: Vec<Answer> = (0..10u8).map(|n| pong(&[n])).collect();
    cases.push(goes("ten pings", &ten, &pongs));
    all(None, cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_3_and_4_reserved_bits_and_opcodes_end_the_connection_after_what_was_good() {
    let good = || frame(FIN | TEXT, &ask("good"));
    let mut cases = Vec::new();
    for bits in 1..8u8 {
        let (bits, name) = (bits << 4, format!("reserved bits {bits}"));
        for first in [FIN | TEXT, TEXT, PING, PONG, CLOSE] {
            let frames = [good(), frame(first | bits, b""), frame(PING, b"unheard")];
            cases.push(ends(&name, &frames, &[said("good")], 1002));
        }
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15u8] {
        for payload in [&b""[..], b"reserved"] {
            let name = format!("opcode {opcode}");
            let frames = [good(), frame(FIN | opcode, payload), frame(PING, b"unheard")];
            cases.push(ends(&name, &frames, &[said("good")], 1002));
        }
    }
    all(None, cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_5_fragments_are_joined_and_disorder_ends_the_connection() {
    let whole = ask("fragmented");
    let (one, two) = whole.split_at(9);
    let asking = || frame(PING, b"between");
    let answer = || Answer::Pong(b"between".to_vec());
    let both =
        |between: &[Vec<u8>]| [&[frame(TEXT, one)], between, &[frame(FIN | MORE, two)]].concat();
    let mut each = parts(TEXT, &whole, 1);
    for at in (1..each.len()).rev() {
        each.insert(at, asking());
    }
    let pings = vec![answer(); whole.len() - 1];
    let nothing = || frame(MORE, b"");
    let empty = [vec![frame(TEXT, b"")], vec![nothing(); 1_000], vec![frame(FIN, &whole)]];
    all(
        None,
        vec![
            ends("ping in parts", &[frame(0x09, b"a"), frame(FIN | MORE, b"b")], &[], 1002),
            ends("pong in parts", &[frame(0x0A, b"a"), frame(FIN | MORE, b"b")], &[], 1002),
            ends("close in parts", &[frame(0x08, b"\x03\xe8")], &[], 1002),
            goes("two parts", &both(&[]), &[said("fragmented")]),
            goes("ping between", &both(&[asking()]), &[answer(), said("fragmented")]),
            goes("empty parts between", &both(&[nothing(), nothing()]), &[said("fragmented")]),
            goes("byte by byte", &parts(TEXT, &whole, 1), &[said("fragmented")]),
            goes("pings everywhere", &each, &[pings, vec![said("fragmented")]].concat()),
            goes("a thousand empty ones", &empty.concat(), &[said("fragmented")]),
            ends("continuation of nothing", &[frame(FIN | MORE, b"x"), asking()], &[], 1002),
            ends(
                "beginning of nothing",
                &[frame(MORE, b"x"), frame(FIN | TEXT, &whole)],
                &[],
                1002,
            ),
            ends("text within text", &[frame(TEXT, one), frame(FIN | TEXT, &whole)], &[], 1002),
            ends("parts within text", &[frame(TEXT, one), frame(TEXT, two)], &[], 1002),
            ends(
                "after the end",
                &[both(&[]), vec![frame(FIN, b"")]].concat(),
                &[said("fragmented")],
                1002,
            ),
            ends("binary within text", &[frame(TEXT, one), frame(FIN | BINARY, b"x")], &[], 1003),
            goes("close within text", &[frame(TEXT, one)], &[]),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_6_text_is_utf8_wherever_it_is_cut_and_is_refused_as_soon_as_it_cannot_be() {
    let mut cases = Vec::new();
    for text in [
        "Hello-µ@ßöäüàá-UTF-8!!",
        "κόσμε",
        "\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}",
        "\u{10ffff}",
        "\u{fffe}\u{fdd0}\u{d7ff}\u{e000}",
    ] {
        let payload = ask(text);
        cases.push(goes(text, &[frame(FIN | TEXT, &payload)], &[said(text)]));
        for size in 1..5 {
            let name = format!("{text} in parts of {size}");
            cases.push(goes(&name, &parts(TEXT, &payload, size), &[said(text)]));
        }
    }
    for bad in [
        &b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"[..],
        b"\xf8\x88\x80\x80\x80",
        b"\xf7\xbf\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xed\xbf\xbf",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\x80",
        b"\xbf\x80",
        b"\xff\xfe",
        b"\xc3 ",
    ] {
        let name = format!("{bad:x?}");
        cases.push(ends(&name, &[frame(FIN | TEXT, bad)], &[], 1007));
        cases.push(ends(&name, &parts(TEXT, &[bad, b"more"].concat(), 1), &[], 1007));
        // Refused although the message has not ended.
        cases.push(ends(&name, &[frame(TEXT, bad), frame(MORE, b"x")], &[], 1007));
    }
    for cut in [&b"\xce"[..], b"\xe1\xbd", b"\xf0\x9f\x98"] {
        let name = format!("cut short {cut:x?}");
        cases.push(ends(&name, &[frame(FIN | TEXT, cut)], &[], 1007));
        cases.push(ends(&name, &[frame(TEXT, cut), frame(FIN | MORE, b"")], &[], 1007));
        cases.push(ends(
            &name,
            &[frame(TEXT, cut), frame(MORE, b""), frame(MORE, b"a")],
            &[],
            1007,
        ));
    }
    all(None, cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_7_closes_are_answered_in_kind_and_bad_ones_with_what_is_wrong() {
    let after = [frame(FIN | TEXT, &ask("unheard")), frame(PING, b""), close(1001, b"")];
    let mut cases = vec![
        goes("text, then close", &[frame(FIN | TEXT, &ask("a"))], &[said("a")]),
        goes("two closes", &[close(1000, b"")], &[]),
        ends("all after a close", &[&[close(1000, b"")], &after[..]].concat(), &[], 1000),
        ends("half a code", &[frame(CLOSE, b"\x03")], &[], 1002),
        ends("longest reason", &[close(1000, &[b'*'; 123])], &[], 1000),
        ends("too long a reason", &[close(1000, &[b'*'; 124])], &[], 1002),
        ends("reason in UTF-8", &[close(1000, "κόσμε".as_bytes())], &[], 1000),
        ends("reason not in UTF-8", &[close(1000, b"\xce\xba\xed\xa0\x80")], &[], 1007),
        Case { end: None, ..ends("no code", &[frame(CLOSE, b"")], &[], 0) },
    ];
    for code in (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4999]) {
        cases.push(ends(&format!("code {code}"), &[close(code, b"bye")], &[], code));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push(ends(&format!("code {code}"), &[close(code, b"")], &[], 1002));
    }
    all(None, cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_9_and_10_long_messages_are_taken_up_to_the_limit_in_parts_of_any_size() {
    let most = long("long", LIMIT);
    let mut cases = Vec::new();
    for size in [64, 256, 1_024, 4_096, 16_384, LIMIT - 1] {
        let name = format!("{LIMIT} in parts of {size}");
        cases.push(goes(&name, &parts(TEXT, &most, size), &[said("long")]));
    }
    let over = [most.as_slice(), b" "].concat();
    cases.push(ends("one byte too long", &[frame(FIN | TEXT, &over)], &[], 1009));
    cases.push(ends("in sum", &parts(TEXT, &over, 4_096), &[], 1009));
    let many = [vec![frame(TEXT, b" ")], vec![frame(MORE, b" "); 1_024]].concat();
    cases.push(ends("too many parts", &many, &[], 1009));
    let header = |length: u64| [&[FIN | TEXT, 0xFF][..], &length.to_be_bytes(), &[0; 4]].concat();
    cases.push(ends("gigabytes announced", &[header(1 << 32)], &[], 1009));
    cases.push(ends("the most announced", &[header(u64::MAX / 2)], &[], 1009));
    cases.push(ends("more than RFC 6455 knows", &[header(u64::MAX)], &[], 1002));
    all(None, cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_12_compressed_messages_are_answered_like_others() {
    let packed = |text: &str, length| deflated(&long(text, length));
    let mut cases = Vec::new();
    for length in [40, 128, 1_024, 8_192, 32_768, LIMIT] {
        let name = format!("{length} compressed");
        let whole = frame(FIN | RSV1 | TEXT, &packed("z", length));
        cases.push(goes(&name, &[whole.clone(), whole], &[said("z"), said("z")]));
        for size in [1, 13, 1_000] {
            let all = parts(RSV1 | TEXT, &packed("z", length), size);
            if all.len() > 1 {
                cases.push(goes(&format!("{name}, in {}", all.len()), &all, &[said("z")]));
            }
        }
    }
    let mut within = parts(RSV1 | TEXT, &packed("w", 60), 20);
    within.insert(1, frame(PING, b"p"));
    let pong = Answer::Pong(b"p".to_vec());
    cases.push(goes("ping between", &within, &[pong, said("w")]));
    let mixed = [
        frame(FIN | TEXT, &ask("plain")),
        frame(FIN | RSV1 | TEXT, &packed("packed", 300)),
        frame(FIN | TEXT, &ask("plain again")),
    ];
    let answers = [said("plain"), said("packed"), said("plain again")];
    cases.push(goes("mixed", &mixed, &answers));
    cases.push(goes("empty, compressed", &[frame(FIN | RSV1 | TEXT, &[0])], &[Answer::Refused]));
    all(DEFLATE, cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_13_compression_is_refused_where_it_does_not_belong_and_data_that_is_bad() {
    let packed = deflated(&ask("x"));
    let bomb = deflated(&vec![b' '; LIMIT + 1]);
    let huge = deflated(&vec![0; 8 << 20]);
    let good = frame(FIN | RSV1 | TEXT, &packed);
    let mut cases = vec![
        ends("ping compressed", &[good.clone(), frame(RSV1 | PING, b"")], &[said("x")], 1002),
        ends("pong compressed", &[frame(RSV1 | PONG, b"")], &[], 1002),
        ends("close compressed", &[frame(RSV1 | CLOSE, b"")], &[], 1002),
        ends(
            "continuation compressed",
            &[frame(RSV1 | TEXT, &packed[..5]), frame(RSV1 | FIN | MORE, &packed[5..])],
            &[],
            1002,
        ),
        ends("binary compressed", &[frame(FIN | RSV1 | BINARY, &packed)], &[], 1003),
        ends("noise", &[frame(FIN | RSV1 | TEXT, &[0xFF; 40])], &[], 1007),
        ends("nothing", &[frame(FIN | RSV1 | TEXT, b"")], &[], 1007),
        ends("not UTF-8", &[frame(FIN | RSV1 | TEXT, &deflated(b"\xff\xff"))], &[], 1007),
        ends("one byte too long", &[frame(FIN | RSV1 | TEXT, &bomb)], &[], 1009),
        ends("a bomb", &[frame(FIN | RSV1 | TEXT, &huge)], &[], 1009),
        ends("a bomb in parts", &parts(RSV1 | TEXT, &huge, 100), &[], 1009),
    ];
    for bits in [0x20, 0x10, 0x30] {
        for first in [FIN | TEXT | bits, FIN | RSV1 | TEXT | bits] {
            cases.push(ends("other reserved bits", &[frame(first, &packed)], &[], 1002));
        }
    }
    for end in 1..packed.len() {
        let name = format!("the first {end} bytes");
        cases.push(ends(&name, &[frame(FIN | RSV1 | TEXT, &packed[..end])], &[], 1007));
    }
    all(DEFLATE, cases).await;
    let unasked = ends("not agreed on", &[frame(FIN | RSV1 | TEXT, &packed)], &[], 1002);
    all(None, vec![unasked]).await;
}
