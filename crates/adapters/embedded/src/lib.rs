//! Owns the durable engines that need nothing but a data directory of their own.
//! Must not contain: a role, the protocol, another engine, or file access outside its disk module.
#![warn(missing_docs)]
