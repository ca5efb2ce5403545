//! Looking at every store after an erasure.

use std::sync::Arc;
use std::time::Duration;

use klatch_domain::{Event, Message, UserChange, UserId};
use klatch_ports::PortResult;
use klatch_ports::api::compliance::Checked;
use klatch_ports::erasures::Traces;
use klatch_protocol::sealed::Place;

use crate::Compliance;
use crate::erase::Destroyed;
use crate::trail::{CHUNK, Trail, is_cut};

/// How long the read model may take to hear of it.
pub(crate) const READ_MODEL_MOST: Duration = Duration::from_secs(10);

/// What of the person lies sealed in the log and in the message store.
#[derive(Default)]
struct Sealed {
    in_log: u64,
    opened: u64,
    rows: u64,
    opened_rows: u64,
}

impl Compliance {
    /// What there was in each store, and what can still be read.
    pub(crate) async fn look(
        &self,
        user: UserId,
        destroyed: &Destroyed,
    ) -> PortResult<Vec<Checked>> {
        let sealed = self.try_to_open(user).await?;
        let Sealed { in_log, opened, rows, opened_rows } = sealed;
        let mut checked = vec![self.look_at_keys(user, destroyed).await?];
        checked.push(self.look_at_accounts(user, destroyed.traces).await?);
        checked.push(Checked {
            store: "log",
            found: format!("{in_log} sealed pieces of theirs; {opened} open"),
            readable: opened,
        });
        checked.push(Checked {
            store: "messages",
            found: format!("{rows} rows with words of theirs; {opened_rows} open"),
            readable: opened_rows,
        });
        checked.push(self.look_at_metadata(user, destroyed).await?);
        for memory in &self.deps.memories {
            let (store, found) = (memory.name(), "forgotten".to_owned());
            checked.push(Checked { store, found, readable: 0 });
        }
        Ok(checked)
    }

    async fn look_at_keys(&self, user: UserId, destroyed: &Destroyed) -> PortResult<Checked> {
        let left = self.deps.keys.key(user).await?.is_some();
        let found = match (left, destroyed.had_key) {
            (true, _) => "the key is still there",
            (false, true) => "the key was destroyed and the server's key replaced",
            (false, false) => "there was no key any more",
        };
        Ok(Checked { store: "keys", found: found.to_owned(), readable: u64::from(left) })
    }

    async fn look_at_accounts(&self, user: UserId, taken: Traces) -> PortResult<Checked> {
        let left = self.deps.eraser.traces(user).await?;
        let Traces { accounts, names, sessions, others } = taken;
        let found = format!(
            "removed {accounts} accounts, {names} names and addresses, {sessions} sessions, \
             {others} other rows; the files were written anew"
        );
        let readable = left.accounts + left.names + left.sessions + left.others;
        Ok(Checked { store: "accounts", found, readable })
    }

    async fn look_at_metadata(&self, user: UserId, destroyed: &Destroyed) -> PortResult<Checked> {
        let metadata = &self.deps.metadata;
        if let Some(position) = destroyed.position {
            let (partition, offset) = (position.partition, position.offset);
            metadata.wait_applied(partition, offset, READ_MODEL_MOST).await?;
        }
        let (found, readable) = match metadata.user(user).await? {
            None => ("there was no row", 0),
            Some(row) if row.is_erased() => ("the profile gave way to a deleted user", 0),
            // Sealed under the key that is gone: nobody reads it.
            Some(row) => match self.deps.ring.open_profile(&row.profile).await? {
                None => ("the profile does not open; the row will follow the log", 0),
                Some(_) => ("the profile opens", 1),
            },
        };
        Ok(Checked { store: "metadata", found: found.to_owned(), readable })
    }

    /// Tries to open everything on the log that was sealed for the person, and the rows that hold
    /// their messages.
    async fn try_to_open(&self, user: UserId) -> PortResult<Sealed> {
        let deps = &self.deps;
        let mut trail = Trail::of(Arc::clone(&deps.log), user).await?;
        let mut sealed = Sealed::default();
        // Rows are found by their events, unless the log has forgotten some of those.
        let is_cut = is_cut(&*deps.log).await?;
        if is_cut {
            self.try_to_open_rows(user, &mut sealed).await?;
        }
        while let Some(events) = trail.next().await? {
            for event in events {
                match &event {
                    Event::User(event) => {
                        let (UserChange::Registered { profile, .. }
                        | UserChange::ProfileChanged { profile }) = &event.change
                        else {
                            continue;
                        };
                        sealed.in_log += 1;
                        let opened = deps.ring.open_profile(profile).await?;
                        sealed.opened += u64::from(opened.is_some());
                    }
                    Event::Timeline(event) => {
                        let Some(own) = event.words().filter(|words| words.person == user) else {
                            continue;
                        };
                        sealed.in_log += 1;
                        let place = Place::Timeline(event.room, event.seq);
                        let opened = deps.ring.open_body(place, own).await?;
                        sealed.opened += u64::from(opened.is_some());
                        if is_cut {
                            continue;
                        }
                        let row = deps.messages.message(event.room, event.seq).await?;
                        let Some(row) = row.filter(|row| row.body.is_some()) else { continue };
                        sealed.rows += 1;
                        let opened = deps.ring.open_message(&row).await?;
                        sealed.opened_rows += u64::from(opened.is_some());
                    }
                }
            }
        }
        Ok(sealed)
    }

    async fn try_to_open_rows(&self, user: UserId, sealed: &mut Sealed) -> PortResult<()> {
        let deps = &self.deps;
        let mut after = None;
        loop {
            let (rows, next) = deps.messages.of_person(user, after, CHUNK).await?;
            let is_theirs = |row: &Message| row.body.as_ref().is_some_and(|b| b.person == user);
            for row in rows.into_iter().filter(is_theirs) {
                sealed.rows += 1;
                let opened = deps.ring.open_message(&row).await?;
                sealed.opened_rows += u64::from(opened.is_some());
            }
            if next.is_none() {
                return Ok(());
            }
            after = next;
        }
    }
}
