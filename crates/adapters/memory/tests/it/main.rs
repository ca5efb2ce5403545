//! The suites of the ports on the engines that keep everything in memory.

mod bus;
mod kv;
mod log;
