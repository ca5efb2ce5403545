//! From records to events, naming the record that is none.

use klatch_domain::Event;
use klatch_ports::Offset;
use klatch_ports::log::Record;
use klatch_protocol::event;
use klatch_pump::ApplyError;

/// An event and where it lies.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub(crate) offset: Offset,
    pub(crate) event: Event,
}

impl Located {
    /// This event can never be applied.
    pub(crate) fn refuse(&self, reason: &str) -> ApplyError {
        ApplyError::Record { offset: self.offset, reason: reason.to_owned() }
    }
}

/// The events of a batch. Sealed words are shared with the records, not copied.
pub(crate) fn events(records: &[Record]) -> Result<Vec<Located>, ApplyError> {
    let decode = |record: &Record| {
        let offset = record.offset;
        match event::decode(record.body.clone()) {
            Ok(event) => Ok(Located { offset, event }),
            Err(error) => Err(ApplyError::Record { offset, reason: error.to_string() }),
        }
    };
    records.iter().map(decode).collect()
}
