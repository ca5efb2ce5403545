//! Somebody who does what is audited, so that the log holds what must outlive its segments.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use klatch_auth::AuditLog;
use klatch_domain::Clock as _;
use klatch_domain::audit::{Act, AuditEntry, By};
use klatch_ports::api::ServiceError;
use klatch_ports::api::audit::AuditApi as _;
use klatch_ports::api::queries::PageRequest;
use klatch_soak::dice::Dice;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::machine::Machine;

/// Entries read at once.
const PAGE: usize = 20;

/// What was done, over all lives.
#[derive(Debug, Default)]
pub(crate) struct Done(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    /// The number of the newest entry.
    newest: u128,
    acknowledged: BTreeSet<u128>,
}

/// Writes entries until `stop`.
pub(crate) async fn write(
    machine: Arc<Machine>,
    audit: Arc<AuditLog>,
    (stop, mut dice): (CancellationToken, Dice),
) {
    let work = async {
        loop {
            tokio::time::sleep(dice.millis(20, 250)).await;
            let number = {
                let mut book = machine.clerk.0.lock();
                book.newest += 1;
                book.newest
            };
            let entry = AuditEntry::new(machine.clock.now(), By::Operator, Act::InvitationMade);
            let entry = AuditEntry { object: Some(number), ..entry };
            if audit.record(&entry).await.is_ok() {
                machine.clerk.0.lock().acknowledged.insert(number);
            }
        }
    };
    let _: Option<()> = stop.run_until_cancelled(work).await;
}

/// Reads all entries: those that were acknowledged are there, in their order, each once.
pub(crate) async fn check(machine: &Machine, audit: &AuditLog) -> Result<()> {
    let expected = machine.clerk.0.lock().acknowledged.clone();
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let read = audit.audit(PageRequest { cursor, limit: PAGE }).await;
        let page = read.map_err(|error| match error {
            ServiceError::Port(error) => error.into(),
            other => anyhow::anyhow!("the audit cannot be read: {other:?}"),
        })?;
        found.extend(page.items.iter().filter_map(|entry| entry.object));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    ensure!(
        found.is_sorted_by(|newer, older| newer > older),
        "the audit is in no order: {found:?}"
    );
    let found: BTreeSet<u128> = found.into_iter().collect();
    let lost: Vec<&u128> = expected.difference(&found).collect();
    ensure!(lost.is_empty(), "entries of the audit are lost: {lost:?}");
    Ok(())
}
