//! Taking a person out of the accounts.
//!
//! Whatever row bears the person's id goes, in its key or in its value: their account, sessions,
//! tokens, names that are held for them. So a kind of row that is added later is found as well.

use async_trait::async_trait;
use fjall::Readable as _;
use klatch_domain::UserId;
use klatch_ports::PortResult;
use klatch_ports::erasures::{AccountEraser, Traces};

use super::Accounts;
use super::draft::Draft;
use super::life::Rows;
use super::row::{ACCOUNT, CLAIM, SESSION, USER_SESSION};
use crate::engine::{blocking, failed};

/// The bytes by which rows name somebody.
#[derive(Clone, Copy)]
struct Marks {
    in_keys: [u8; 16],
    /// The two halves as [`crate::engine::codec::Id`] writes them, with their tags.
    in_values: [u8; 18],
}

impl Marks {
    fn of(user: UserId) -> Self {
        let bytes = user.to_bytes();
        let mut in_values = [0x09; 18];
        let halves = bytes.iter().take(8).rev().chain([&0x11]).chain(bytes.iter().skip(8).rev());
        for (to, from) in in_values.iter_mut().skip(1).zip(halves) {
            *to = *from;
        }
        Self { in_keys: bytes, in_values }
    }

    fn are_in(&self, key: &[u8], value: &[u8]) -> bool {
        holds(key, &self.in_keys) || holds(value, &self.in_values) || holds(value, &self.in_keys)
    }
}

fn holds(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.windows(mark.len()).any(|window| window == mark)
}

fn traces(rows: &Rows, marks: Marks) -> PortResult<(Traces, Vec<fjall::Slice>)> {
    let (mut found, mut keys) = (Traces::default(), Vec::new());
    let life = rows.life();
    for row in life.database.snapshot().iter(&life.keyspace) {
        let (key, value) = row.into_inner().map_err(failed("looking for a person"))?;
        if !marks.are_in(&key, &value) {
            continue;
        }
        match key.first().copied() {
            Some(ACCOUNT) => found.accounts += 1,
            Some(CLAIM) => found.names += 1,
            Some(SESSION) => found.sessions += 1,
            // Says no more than the session itself.
            Some(USER_SESSION) => {}
            _ => found.others += 1,
        }
        keys.push(key);
    }
    Ok((found, keys))
}

#[async_trait]
impl AccountEraser for Accounts {
    async fn traces(&self, user: UserId) -> PortResult<Traces> {
        let (rows, marks) = (self.rows.clone(), Marks::of(user));
        blocking("looking for a person", move || Ok(traces(&rows, marks)?.0)).await
    }

    async fn erase(&self, user: UserId) -> PortResult<Traces> {
        let marks = Marks::of(user);
        let rows = self.rows.clone();
        let remove = move |draft: &mut Draft<'_>| {
            let (found, keys) = traces(&rows, marks)?;
            for key in &keys {
                draft.remove(key);
            }
            Ok(found)
        };
        let found = self.write("erasing a person", remove).await?;
        let rows = self.rows.clone();
        // On the thread that writes, so that nothing is written between the copy and the change.
        let rewrite =
            move |_: &mut Draft<'_>| rows.begin_anew(|key, value| !marks.are_in(key, value));
        self.write("erasing a person", rewrite).await?;
        Ok(found)
    }
}
