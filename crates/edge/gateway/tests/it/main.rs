//! The gateway over loopback, on the real auth, command and query roles and memory.
#![cfg(test)]

mod accounts;
mod bad_input;
mod client;
mod docs;
mod import;
mod limits;
mod messages;
mod presence;
mod rooms;
mod serving;
mod surface;
mod sync;
mod tokens;
mod world;
