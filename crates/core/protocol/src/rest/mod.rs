//! The JSON bodies of the REST interface, and how they become what the services take.
//!
//! Requests refuse unknown fields. Answers are made from the services' own types by destructuring
//! them whole, so that a new field must be decided on before it compiles.

pub mod account;
pub mod admin;
pub mod compliance;
pub mod decode;
pub mod import;
pub mod invitation;
pub mod member;
pub mod message;
pub mod meta;
pub mod page;
pub mod presence;
pub mod room;
pub mod shown;
pub mod sync;
pub mod token;
pub mod user;

pub use decode::{decode, decode_or_default};
