//! The same streams, good and bad, cut anywhere, to our parser and to two other implementations:
//! they must read the same messages and come to the same verdict.
//!
//! Differences that have a reason, and are allowed for below:
//!
//! - We take text alone and refuse binary by its header (1003).
//! - We refuse by the header what others refuse when the frame is whole, or wait for.
//! - We refuse lengths that are not in their shortest form (RFC 6455 §5.2); both others take them.
//! - A frame with two faults is refused by all, for whichever fault was looked for first.
//! - soketto takes unmasked frames, and the reserved bit of an extension on any frame; it leaves it
//!   to its users to check UTF-8 (so not before the message is whole), shows no pings and no close
//!   frames without a code, and loses a message that has a pong between its fragments.
//! - tungstenite does not know 1014; soketto refuses 1014 and takes 1015, and sees no fault in a
//!   close frame of one byte.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::others::{End, Got, MOST, Reading, inflate_by_miniz, ours, soketto, tungstenite};
use crate::raw::{FIN, RSV1, TEXT, deflated, frame};

/// Texts: short, with signs of every length, and near the limit.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let short = vec(select(&['a', ' ', '"', 'ß', '€', '😀', '\u{ffff}'][..]), 0..60);
    let short = short.prop_map(|signs| signs.into_iter().collect::<String>().into_bytes());
    let long = (MOST - 20..MOST + 3).prop_map(|length| vec![b'x'; length]);
    prop_oneof![8 => short, 1 => long]
}

/// A message that is mostly lawful, in one frame or more, with a control frame between.
fn message(deflate: bool) -> impl Strategy<Value = Vec<u8>> {
    let cuts = vec(any::<Index>(), 0..4);
    let between = proptest::option::of(control());
    (text(), any::<bool>(), cuts, between).prop_map(move |(text, packed, cuts, between)| {
        let packed = packed && deflate;
        let payload = if packed { deflated(&text) } else { text };
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        at.extend([0, payload.len()]);
        at.sort_unstable();
        let count = at.len() - 1;
        let mut out = Vec::new();
        for (n, pair) in at.windows(2).enumerate() {
            let first = if n == 0 { TEXT | if packed { RSV1 } else { 0 } } else { 0 };
            let fin = if n + 1 == count { FIN } else { 0 };
            out.extend(frame(first | fin, &payload[pair[0]..pair[1]]));
            if n == 0 {
                out.extend(between.iter().flatten());
            }
        }
        out
    })
}

fn control() -> impl Strategy<Value = Vec<u8>> {
    let bytes = vec(any::<u8>(), 0..126);
    (select(&[0x89, 0x8A][..]), bytes).prop_map(|(first, bytes)| frame(first, &bytes))
}

fn closing() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![990u16..1020, 2990u16..3010, 4990u16..5010, any::<u16>()];
    let reason = prop_oneof![text(), vec(any::<u8>(), 0..6)];
    let with_code = (code, reason).prop_map(|(code, mut reason)| {
        reason.truncate(124);
        frame(0x88, &[&code.to_be_bytes()[..], &reason].concat())
    });
    prop_oneof![4 => with_code, 1 => Just(frame(0x88, b""))]
}

/// A frame of any kind with anything in it.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), vec(any::<u8>(), 0..140)).prop_map(|(first, bytes)| frame(first, &bytes))
}

/// A stream in pieces: messages, perhaps bent, perhaps ended too early.
fn stream(deflate: bool) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let part = prop_oneof![
        12 => message(deflate),
        3 => control(),
        1 => closing(),
        1 => anything(),
    ];
    let bends = prop_oneof![
        2 => Just(Vec::new()),
        1 => vec((any::<Index>(), any::<u8>()), 1..3),
    ];
    let sizes = prop_oneof![vec(1usize..40, 1..5), Just(vec![usize::MAX])];
    (vec(part, 1..8), bends, sizes, any::<Index>(), any::<bool>()).prop_map(
        |(parts, bends, sizes, end, cut)| {
            let mut bytes = parts.concat();
            for (at, bits) in bends {
                let at = at.index(bytes.len());
                bytes[at] ^= bits;
            }
            if cut {
                bytes.truncate(end.index(bytes.len()));
            }
            pieces(&bytes, &sizes)
        },
    )
}

fn pieces(bytes: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let (mut rest, mut out) = (bytes, Vec::new());
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        out.push(piece.to_vec());
        rest = after;
    }
    out
}

/// Whether two verdicts on a stream are the same, after the same messages. Which fault of several
/// is found first may differ; which one a single fault is has the table of cases.
fn same(own: &Reading, theirs: &Reading) -> bool {
    match (&own.end, &theirs.end) {
        (End::Waits, theirs) => *theirs == End::Waits,
        // By the header alone.
        (End::Broken(_), End::Waits) => true,
        (End::Broken(own), End::Broken(theirs)) => {
            let possible = [1002, 1007, 1009];
            own == theirs || (possible.contains(own) && possible.contains(theirs))
        }
    }
}

/// Whether the difference is one that both who look at it have a reason for.
fn is_reasoned(own: &Reading, theirs: &Reading) -> bool {
    let stricter = own.end == End::Broken(1003) || own.reason.contains("shortest form");
    let new_code = own.got.contains(&Got::Close(Some(1014)));
    (stricter && theirs.got.starts_with(&own.got)) || new_code
}

fn is_reasoned_of_soketto(own: &Reading, theirs: &Reading) -> bool {
    let lax = ["masked", "reserved bit", "UTF-8", "close code"];
    let is_lax = lax.iter().any(|word| own.reason.contains(word));
    is_reasoned(own, theirs)
        || (is_lax && theirs.got.starts_with(&own.got))
        || own.got.contains(&Got::Pong)
}

/// Ours without what soketto does not show.
fn as_soketto_shows(read: &Reading) -> Reading {
    let is_hidden = |got: &Got| matches!(got, Got::Ping(_) | Got::Close(None));
    let got = read.got.iter().filter(|got| !is_hidden(got)).cloned().collect();
    Reading { got, ..read.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn tungstenite_reads_the_same_and_judges_alike(stream in stream(false)) {
        let (own, theirs) = (ours(&stream, false), tungstenite(&stream));
        let agree = own.got == theirs.got && same(&own, &theirs);
        prop_assert!(agree || is_reasoned(&own, &theirs), "{own:?}\n{theirs:?}");
    }

    #[test]
    fn soketto_reads_the_same_and_judges_alike(stream in stream(false)) {
        let (own, theirs) = (as_soketto_shows(&ours(&stream, false)), soketto(&stream, false));
        let agree = own.got == theirs.got && same(&own, &theirs);
        prop_assert!(agree || is_reasoned_of_soketto(&own, &theirs), "{own:?}\n{theirs:?}");
    }

    #[test]
    fn soketto_with_miniz_reads_the_same_compressed(stream in stream(true)) {
        let (own, theirs) = (as_soketto_shows(&ours(&stream, true)), soketto(&stream, true));
        let agree = own.got == theirs.got && same(&own, &theirs);
        prop_assert!(agree || is_reasoned_of_soketto(&own, &theirs), "{own:?}\n{theirs:?}");
    }

    #[test]
    fn miniz_inflates_the_same_and_finds_the_same_damage(
        text in text(),
        bends in vec((any::<Index>(), any::<u8>()), 0..3),
        end in any::<Index>(),
        cut: bool,
    ) {
        let mut data = deflated(&text);
        for (at, bits) in bends {
            let at = at.index(data.len());
            data[at] ^= bits;
        }
        if cut {
            data.truncate(end.index(data.len()));
        }
        let own = ours(&[frame(FIN | RSV1 | TEXT, &data)], true);
        let theirs = match inflate_by_miniz(&data).map(String::from_utf8) {
            Ok(Ok(text)) => Reading { got: vec![Got::Text(text)], end: End::Waits, reason: "" },
            Ok(Err(_)) => Reading { got: vec![], end: End::Broken(1007), reason: "" },
            Err(code) => Reading { got: vec![], end: End::Broken(code), reason: "" },
        };
        prop_assert!(own.got == theirs.got && same(&own, &theirs), "{own:?}\n{theirs:?}");
    }
}
