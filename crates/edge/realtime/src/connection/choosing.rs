//! What a client chose to get, and what is sent beside events.

use std::sync::Arc;

use bytes::Bytes;
use klatch_protocol::ws::subscribe::Subscription;

use super::{Connection, Passing};

impl Connection {
    #[expect(dead_code, reason = "for typing and presence, which nobody tells yet")]
    /// Sends what passes: when nothing else waits, the newest of its kind. No order among these.
    pub(crate) fn pass(&self, what: Passing, frame: Bytes) {
        let pushed = self.outbox.lock().push_passing(what, frame, self.cap());
        self.see_to(pushed);
    }

    #[expect(dead_code, reason = "for typing and presence, which nobody tells yet")]
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
