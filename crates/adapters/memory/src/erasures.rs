//! A ledger of erasures in memory. Gone with the process.

use async_trait::async_trait;
use klatch_ports::PortResult;
use klatch_ports::erasures::{Erasure, ErasureLedger};
use parking_lot::Mutex;

/// Who was erased in this process.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Vec<Erasure>>);

#[async_trait]
impl ErasureLedger for Ledger {
    async fn add(&self, erasure: Erasure) -> PortResult<()> {
        let mut entries = self.0.lock();
        if entries.iter().all(|entry| entry.user != erasure.user) {
            entries.push(erasure);
        }
        Ok(())
    }

    async fn entries(&self) -> PortResult<Vec<Erasure>> {
        Ok(self.0.lock().clone())
    }
}
