//! Owns the workers that build the read models from the log: message-writer and meta-writer.
//! Must not contain: an engine, delivery to clients, decisions about commands, or opened words.
//!
//! Each worker is a [`klatch_pump::Projector`]: it decodes a batch, loads the rows the batch is
//! about, folds them in a pure function, and commits absolute rows together with the position. A
//! batch applied twice, cut otherwise, or begun again from any earlier position leaves the same
//! rows.
#![warn(missing_docs)]

mod decode;
mod message_fold;
mod message_writer;
mod meta_fold;
mod meta_writer;
mod rows;

pub use message_writer::MessageWriterProjector;
pub use meta_writer::MetaWriterProjector;

#[cfg(test)]
mod tests;
