//! Texts of clients: JSON frames, positions and cursors.

use klatch_ports::Position;

/// Any text as a client's frame. Promise: what is understood keeps to the limits, and what is
/// refused is refused with one of the problem codes.
pub fn client_frames(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match klatch_protocol::ws::client::parse(text) {
        Ok(frame) => {
            let id = frame.request_id.unwrap_or_default();
            assert!(id.chars().count() <= 64, "a request id of {} bytes", id.len());
        }
        Err(error) => {
            let known = klatch_protocol::problem::Code::parse(error.code);
            assert!(known.is_some(), "the code {} is not known", error.code);
        }
    }
}

/// Any text as a position and as a cursor. Promise: each has one spelling.
pub fn positions(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(position) = text.parse::<Position>() {
        assert_eq!(position.to_string(), text);
    }
    if let Some(cursor) = klatch_query::cursor_read_and_written(text) {
        assert_eq!(cursor, text);
    }
}
