//! What connections say that they got: `ack {roomId, seq}`, once for each read, the latest of it.

use anyhow::Result;

use crate::engine::Engine;

/// Acknowledgements to be said, and how many were.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    due: Vec<Due>,
    pub(crate) said: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Due {
    connection: usize,
    room: String,
    seq: u64,
}

impl Acks {
    /// A connection got an event. Of several of a room, one after the other, the latest counts: it
    /// includes those before, and is never taken back.
    pub(crate) fn got(&mut self, connection: usize, room: &[u8], seq: u64) {
        if let Some(last) = self.due.last_mut()
            && last.connection == connection
            && last.room.as_bytes() == room
        {
            last.seq = last.seq.max(seq);
            return;
        }
        let room = String::from_utf8_lossy(room).into_owned();
        self.due.push(Due { connection, room, seq });
    }

    /// Says what is due.
    ///
    /// # Errors
    /// A connection that is not open.
    pub(crate) fn say(&mut self, engine: &mut Engine) -> Result<()> {
        for Due { connection, room, seq } in self.due.drain(..) {
            let frame = format!(r#"{{"type":"ack","payload":{{"roomId":"{room}","seq":{seq}}}}}"#);
            engine.send(connection, frame.as_bytes())?;
            self.said += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_one_read_brought_a_connection_says_the_latest_of_each_room() {
        let mut acks = Acks::default();
        for (connection, room, seq) in [(0, "a", 4), (0, "a", 5), (1, "a", 5), (0, "b", 1)] {
            acks.got(connection, room.as_bytes(), seq);
        }
        acks.got(0, b"b", 0);
        let due: Vec<_> = acks.due.iter().map(|d| (d.connection, &*d.room, d.seq)).collect();
        assert_eq!(due, [(0, "a", 5), (1, "a", 5), (0, "b", 1)]);
    }
}
