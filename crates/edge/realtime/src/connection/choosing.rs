//! What a client chose to get and in what form, and what is sent beside events.

use std::sync::Arc;

use bytes::Bytes;
use klatch_protocol::ws::subscribe::Subscription;

use super::{Connection, Passing};

impl Connection {
    /// Compression was agreed on, with a look-back of so many bits at most: one message is
    /// compressed for all, so a narrow window gets only those that fit into it as a whole.
    pub(crate) fn with_deflate(mut self, window_bits: Option<u8>) -> Self {
        let packed_bytes_max = match window_bits {
            None => 0,
            Some(bits @ 0..=14) => 1 << bits,
            Some(15..) => u32::MAX,
        };
        self.packed_bytes_max = packed_bytes_max;
        self
    }

    /// Whether compression was agreed on.
    pub(super) fn has_deflate(&self) -> bool {
        self.packed_bytes_max > 0
    }

    /// Bytes of the longest message that the client takes compressed.
    pub(crate) fn packed_bytes_max(&self) -> u32 {
        self.packed_bytes_max
    }

    /// Whether the client takes a message of so many bytes compressed.
    pub(crate) fn takes_packed(&self, bytes: usize) -> bool {
        bytes <= usize::try_from(self.packed_bytes_max).unwrap_or(usize::MAX)
    }

    /// Sends what passes: when nothing else waits, the newest of its kind. No order among these.
    pub(crate) fn pass(&self, what: Passing, frame: Bytes) {
        let pushed = self.outbox.lock().push_passing(what, frame, self.cap());
        self.see_to(pushed);
    }

    /// What the client chose to get; `None`: all events of its rooms, nobody's presence, no
    /// typing. Cost: a lock and a count.
    pub(crate) fn subscription(&self) -> Option<Arc<Subscription>> {
        self.outbox.lock().choice()
    }

    /// Events after `answer` come as `subscription` wants.
    pub(crate) fn subscribe(&self, subscription: Subscription, answer: Bytes) {
        let is_default = subscription == Subscription::default();
        let choice = (!is_default).then(|| Arc::new(subscription));
        let chosen = {
            let mut outbox = self.outbox.lock();
            let first = outbox.is_empty();
            outbox.choose(choice, answer, self.cap()).map(|()| first)
        };
        self.see_to(chosen);
    }
}
