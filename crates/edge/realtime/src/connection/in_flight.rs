//! Commands that wait for their answer: how many, and when the connection reads on.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::Connection;

impl Connection {
    /// A command was handed on.
    pub(super) fn begin_command(&self) {
        let count = self.in_flight.fetch_add(1, Ordering::AcqRel) + 1;
        if count >= self.shared.config.commands_in_flight_max {
            self.saturated.store(true, Ordering::Release);
        }
    }

    /// A command was answered.
    pub(super) fn end_command(&self, answer: Bytes) {
        self.answer(answer);
        let left = self.in_flight.fetch_sub(1, Ordering::AcqRel) - 1;
        let few = self.shared.config.commands_in_flight_max / 2;
        if left <= few && self.saturated.swap(false, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Whether commands wait for their answer.
    pub(crate) fn has_commands(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) > 0
    }

    pub(super) fn is_saturated(&self) -> bool {
        self.saturated.load(Ordering::Acquire)
    }
}
