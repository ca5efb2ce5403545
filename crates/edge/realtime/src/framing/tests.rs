//! RFC 6455 as a table of cases, and what must hold for any stream.

use klatch_protocol::ws::close::CloseCode;
use proptest::prelude::*;

use super::*;

const KEY: [u8; 4] = [0xA1, 0x00, 0x5C, 0xFF];

/// A masked frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let length = payload.len();
    if let Some(short) = u8::try_from(length).ok().filter(|short| *short < 126) {
        out.push(MASKED | short);
    } else if let Ok(medium) = u16::try_from(length) {
        out.push(IN_16_BITS);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(IN_64_BITS);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
    out.extend_from_slice(&KEY);
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ KEY[at % 4]));
    out
}

const MASKED: u8 = 0x80;
const IN_16_BITS: u8 = 0xFE;
const IN_64_BITS: u8 = 0xFF;
const TEXT: u8 = 0x81;
const TEXT_BEGINS: u8 = 0x01;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Text(String),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
    Broken(u16),
}

impl From<Incoming<'_>> for Got {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Text(text) => Self::Text(text.to_owned()),
            Incoming::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Incoming::Pong => Self::Pong,
            Incoming::Close(code) => Self::Close(code),
        }
    }
}

/// All that comes out of `stream` when it arrives in pieces of the given sizes.
fn receive(stream: &[u8], sizes: &[usize]) -> (Vec<Got>, Parser) {
    let mut parser = Parser::new(FrameLimits { message_bytes: 70_000, fragments: 4 });
    let mut got = Vec::new();
    let mut sizes = sizes.iter().copied().cycle();
    let mut rest = stream;
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(rest.len()).clamp(1, rest.len());
        let (piece, after) = rest.split_at(size);
        rest = after;
        let mut on = |incoming: Incoming<'_>| {
            got.push(incoming.into());
            Flow::Go
        };
        match parser.feed(&mut piece.to_vec(), &mut on) {
            Ok(taken) => assert_eq!(taken, size),
            Err(violation) => {
                got.push(Got::Broken(violation.code.number()));
                break;
            }
        }
    }
    (got, parser)
}

#[track_caller]
fn case(name: &str, frames: &[Vec<u8>], expected: &[Got]) {
    let stream = frames.concat();
    for sizes in [&[usize::MAX][..], &[1], &[2, 3, 5]] {
        assert_eq!(receive(&stream, sizes).0, expected, "{name}, in pieces of {sizes:?}");
    }
}

fn said(text: &str) -> Got {
    Got::Text(text.to_owned())
}

#[test]
fn whole_messages_of_every_length_form_arrive() {
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 70_000] {
        let text = "a".repeat(length);
        case("length", &[frame(TEXT, text.as_bytes())], &[said(&text)]);
    }
    case("two at once", &[frame(TEXT, b"one"), frame(TEXT, b"two")], &[said("one"), said("two")]);
    let unicode = "Hello-µ@ßöäüàá-UTF-8!! κόσμε \u{10FFFF}";
    case("unicode", &[frame(TEXT, unicode.as_bytes())], &[said(unicode)]);
}

#[test]
fn a_message_above_the_limit_is_refused_by_its_header_alone() {
    let too_long = frame(TEXT, &vec![b'a'; 70_001]);
    case("header only", &[too_long[..14].to_vec()], &[Got::Broken(1009)]);
    let huge = [vec![TEXT, IN_64_BITS], (u64::MAX / 2).to_be_bytes().to_vec()].concat();
    case("petabytes", &[[huge, KEY.to_vec()].concat()], &[Got::Broken(1009)]);
    let parts = [frame(TEXT_BEGINS, &vec![b'a'; 40_000]), frame(ENDS, &vec![b'a'; 40_000])];
    case("in sum", &parts, &[Got::Broken(1009)]);
    let bits = [vec![TEXT, 0xFF], vec![0xFF; 8], KEY.to_vec()].concat();
    case("the highest bit", &[bits], &[Got::Broken(1002)]);
}

#[test]
fn pings_are_told_with_their_bytes_also_between_fragments() {
    case("empty ping", &[frame(PING, b"")], &[Got::Ping(vec![])]);
    let full = vec![0xFE; 125];
    case("full ping", &[frame(PING, &full)], &[Got::Ping(full.clone())]);
    case("ping too long", &[frame(PING, &[0; 126])], &[Got::Broken(1002)]);
    case(
        "unasked pong",
        &[frame(PONG, b"x"), frame(PING, b"y")],
        &[Got::Pong, Got::Ping(b"y".to_vec())],
    );
    let frames =
        [frame(TEXT_BEGINS, b"he"), frame(PING, b"now"), frame(GOES_ON, b"l"), frame(ENDS, b"lo")];
    case("ping within", &frames, &[Got::Ping(b"now".to_vec()), said("hello")]);
}

#[test]
fn reserved_bits_and_opcodes_are_refused() {
    for bit in [0x40, 0x20, 0x10] {
        case("reserved bit", &[frame(TEXT | bit, b"x")], &[Got::Broken(1002)]);
        case("reserved bit", &[frame(PING | bit, b"x")], &[Got::Broken(1002)]);
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        case("reserved opcode", &[frame(0x80 | opcode, b"")], &[Got::Broken(1002)]);
    }
    let after = [frame(TEXT, b"good"), frame(0x83, b""), frame(TEXT, b"unheard")];
    case("after a message", &after, &[said("good"), Got::Broken(1002)]);
}

#[test]
fn unmasked_frames_and_long_forms_of_short_lengths_are_refused() {
    case("unmasked", &[vec![TEXT, 2, b'h', b'i']], &[Got::Broken(1002)]);
    let long_form = [vec![TEXT, IN_16_BITS, 0, 5], KEY.to_vec(), vec![0; 5]].concat();
    case("16 bits for 5", &[long_form], &[Got::Broken(1002)]);
    let longer = [vec![TEXT, IN_64_BITS], 65_535u64.to_be_bytes().to_vec(), KEY.to_vec()].concat();
    case("64 bits for 65535", &[longer], &[Got::Broken(1002)]);
}

#[test]
fn fragments_join_and_disorder_is_refused() {
    let joined = [frame(TEXT_BEGINS, b"a"), frame(GOES_ON, b""), frame(ENDS, b"b")];
    case("joined", &joined, &[said("ab")]);
    case("all empty", &[frame(TEXT_BEGINS, b""), frame(ENDS, b"")], &[said("")]);
    case("continuation of nothing", &[frame(ENDS, b"x")], &[Got::Broken(1002)]);
    case("continuation of nothing", &[frame(GOES_ON, b"x")], &[Got::Broken(1002)]);
    let again = [frame(TEXT, b"a"), frame(ENDS, b"x")];
    case("continuation after the end", &again, &[said("a"), Got::Broken(1002)]);
    let nested = [frame(TEXT_BEGINS, b"a"), frame(TEXT, b"b")];
    case("message in a message", &nested, &[Got::Broken(1002)]);
    for opcode in [0x08, 0x09, 0x0A] {
        case("a control frame in parts", &[frame(opcode, b"")], &[Got::Broken(1002)]);
    }
    let many = [vec![frame(TEXT_BEGINS, b"")], vec![frame(GOES_ON, b""); 4]].concat();
    case("fragments without end", &many, &[Got::Broken(1009)]);
}

#[test]
fn text_must_be_utf8_once_it_is_whole() {
    // The sign is cut between its bytes: lawful as long as the whole is.
    let cut = "κ".as_bytes();
    case("cut sign", &[frame(TEXT_BEGINS, &cut[..1]), frame(ENDS, &cut[1..])], &[said("κ")]);
    for bad in [
        &b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"[..],
        b"\xff",
        b"\xc0\xaf",
        b"\xf4\x90\x80\x80",
        b"\xce",
        b"\xed\xb0\x80",
    ] {
        case("not UTF-8", &[frame(TEXT, bad)], &[Got::Broken(1007)]);
        case("not UTF-8", &[frame(TEXT_BEGINS, bad), frame(ENDS, b"")], &[Got::Broken(1007)]);
    }
}

#[test]
fn binary_messages_are_not_supported() {
    case("binary", &[frame(0x82, b"x")], &[Got::Broken(1003)]);
    case("binary in parts", &[frame(0x02, b"x")], &[Got::Broken(1003)]);
}

#[test]
fn close_frames_are_read_and_checked() {
    case("empty", &[frame(CLOSE, b"")], &[Got::Close(None)]);
    case("half a code", &[frame(CLOSE, &[3])], &[Got::Broken(1002)]);
    let with = |code: u16, reason: &[u8]| frame(CLOSE, &[&code.to_be_bytes(), reason].concat());
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 3000, 4999] {
        case("lawful", &[with(code, b"bye")], &[Got::Close(Some(code))]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        case("unlawful", &[with(code, b"")], &[Got::Broken(1002)]);
    }
    case("reason", &[with(1000, b"\xff")], &[Got::Broken(1007)]);
    case("longest", &[with(1000, &[b'x'; 123])], &[Got::Close(Some(1000))]);
    case("too long", &[with(1000, &[b'x'; 124])], &[Got::Broken(1002)]);
}

#[test]
fn own_control_frames_fit_their_limits() {
    let long = "é".repeat(100);
    let close = close_frame(CloseCode::SlowConsumer, &long);
    assert_eq!((close[0], usize::from(close[1])), (0x88, close.len() - 2));
    assert_eq!(&close[2..4], &4002u16.to_be_bytes());
    assert!(std::str::from_utf8(&close[4..]).unwrap().starts_with("é") && close.len() <= 127);
    assert_eq!(&pong_frame(b"abc")[..], b"\x8a\x03abc");
    assert_eq!(&ping_frame()[..], b"\x89\x00");
}

#[test]
fn a_stopped_receiver_gets_the_rest_later_and_nothing_twice() {
    let mut stream = [frame(TEXT, b"1"), frame(TEXT, b"2"), frame(TEXT, b"3")].concat();
    let mut parser = Parser::new(FrameLimits::default());
    let mut got = Vec::new();
    let mut taken = 0;
    while taken < stream.len() {
        let mut on = |incoming: Incoming<'_>| {
            got.push(Got::from(incoming));
            Flow::Stop
        };
        taken += parser.feed(&mut stream[taken..], &mut on).unwrap();
    }
    assert_eq!(got, [said("1"), said("2"), said("3")]);
}

#[test]
fn nothing_is_held_between_messages() {
    let stream = [frame(TEXT_BEGINS, b"a"), frame(PING, b""), frame(ENDS, b"b")].concat();
    let (_, parser) = receive(&stream, &[1]);
    assert!(parser.is_idle());
    let (_, parser) = receive(&stream[..stream.len() - 1], &[7]);
    assert!(!parser.is_idle());
}

fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let text = proptest::collection::vec(any::<char>(), 0..150)
        .prop_map(|signs| signs.into_iter().collect::<String>());
    let whole = text.clone().prop_map(|text| vec![frame(TEXT, text.as_bytes())]);
    let ping = proptest::collection::vec(any::<u8>(), 0..=125).prop_map(|b| frame(PING, &b));
    let parted = (text, ping.clone(), any::<prop::sample::Index>()).prop_map(|(text, ping, at)| {
        let (one, two) = text.as_bytes().split_at(at.index(text.len() + 1));
        vec![frame(TEXT_BEGINS, one), ping, frame(ENDS, two)]
    });
    let any_message = prop_oneof![whole, parted, ping.prop_map(|ping| vec![ping])];
    proptest::collection::vec(any_message, 1..6).prop_map(|messages| messages.concat())
}

proptest! {
    #[test]
    fn the_cut_of_the_stream_changes_nothing(
        frames in messages(),
        sizes in proptest::collection::vec(1usize..300, 1..8),
    ) {
        let stream = frames.concat();
        let (whole, _) = receive(&stream, &[usize::MAX]);
        let (cut, parser) = receive(&stream, &sizes);
        prop_assert!(!whole.iter().any(|got| matches!(got, Got::Broken(_))));
        prop_assert_eq!(whole, cut);
        prop_assert!(parser.is_idle());
    }

    #[test]
    fn any_bytes_are_survived_and_judged_alike_however_cut(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        sizes in proptest::collection::vec(1usize..20, 1..8),
    ) {
        prop_assert_eq!(receive(&bytes, &[usize::MAX]).0, receive(&bytes, &sizes).0);
    }

    #[test]
    fn bent_frames_are_survived(
        frames in messages(),
        bends in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut stream = frames.concat();
        for (at, bits) in bends {
            let at = at.index(stream.len());
            stream[at] ^= bits;
        }
        prop_assert_eq!(receive(&stream, &[usize::MAX]).0, receive(&stream, &[3]).0);
    }
}
