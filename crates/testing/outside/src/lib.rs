//! Owns the servers of others that tests let Klatch talk to: mail servers, issuers of tokens.
//! Must not contain: anything of Klatch's own, or a check of what it does.

mod certificate;
pub mod issuer;
pub mod post;

pub use certificate::Certificate;
