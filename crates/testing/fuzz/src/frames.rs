//! WebSocket frames, compressed or not.

use klatch_realtime::framing::{Flow, FrameLimits, Incoming, Parser};

const LIMITS: FrameLimits = FrameLimits { message_bytes: 4_096, fragments: 8 };

/// What a stream was to the parser: its messages, and the code it was refused with.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reading {
    got: Vec<Vec<u8>>,
    refused: Option<u16>,
}

/// The first byte says whether compression was agreed on and into how long pieces the rest, which
/// is the stream, is cut. Promises: nothing above the limits is handed on, and the cuts change
/// neither the messages nor the verdict.
pub fn frames(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else { return };
    let deflate = first & 1 != 0;
    let size = usize::from(first >> 1).max(1);
    let whole = read(stream, deflate, stream.len().max(1));
    assert_eq!(whole, read(stream, deflate, size), "in pieces of {size}");
}

fn read(stream: &[u8], deflate: bool, size: usize) -> Reading {
    let mut parser = Parser::new(LIMITS).with_deflate(deflate);
    let mut reading = Reading::default();
    for piece in stream.chunks(size) {
        let mut piece = piece.to_vec();
        let outcome = parser.feed(&mut piece, &mut |incoming| {
            reading.got.push(match incoming {
                Incoming::Text(text) => {
                    assert!(text.len() <= 4_096, "a message of {} bytes", text.len());
                    text.as_bytes().to_vec()
                }
                Incoming::Ping(bytes) => {
                    assert!(bytes.len() <= 125, "a ping of {} bytes", bytes.len());
                    bytes.to_vec()
                }
                Incoming::Pong => b"pong".to_vec(),
                Incoming::Close(code) => code.unwrap_or(0).to_be_bytes().to_vec(),
            });
            Flow::Go
        });
        match outcome {
            Ok(taken) => assert_eq!(taken, piece.len(), "all is taken unless told to stop"),
            Err(violation) => {
                reading.refused = Some(violation.code.number());
                break;
            }
        }
    }
    reading
}
