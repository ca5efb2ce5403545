//! Owns the servers of others that tests let Klatch talk to: a mail server.
//! Must not contain: anything of Klatch's own, or a check of what it does.

mod certificate;
pub mod post;

pub use certificate::Certificate;
