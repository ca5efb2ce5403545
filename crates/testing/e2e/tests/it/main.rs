//! Black-box tests of the built binary, over HTTP, WebSocket and signals.
#![cfg(test)]

mod kills;
mod living;
mod machine;
