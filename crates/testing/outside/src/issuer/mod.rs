//! An issuer of tokens: signs them with keys of each kind, and publishes those keys over HTTP.

mod keys;
mod serve;

pub use keys::{Kind, SigningKey};
pub use serve::{Issuer, Manner};
