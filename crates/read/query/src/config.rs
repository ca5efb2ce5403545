//! What an operator may set about reads.

use std::time::Duration;

/// Limits of the query role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryConfig {
    /// How long a read waits for the position it names before it answers that the read model is
    /// behind.
    pub wait_most: Duration,
    /// Most users whose names can be searched; about 300 bytes of memory each. Later ones are
    /// found by id, in rooms and in histories, but not by name.
    pub directory_users_max: usize,
    /// Bytes of messages kept ready to be shown, of the rooms that were read lately.
    pub tail_bytes: usize,
}

impl Default for QueryConfig {
    /// Waits up to 3 s; searches the names of up to 500,000 users; keeps 32 MiB of messages.
    fn default() -> Self {
        Self {
            wait_most: Duration::from_secs(3),
            directory_users_max: 500_000,
            tail_bytes: 32 << 20,
        }
    }
}
