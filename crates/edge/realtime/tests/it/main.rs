//! The role as clients and engines see it: real sockets, engines in memory, a fan-out by script.
#![cfg(test)]

mod client;
mod fan_out;
mod faults;
mod live;
mod model;
mod resuming;
mod standing;
mod upgrading;
mod wire;
mod world;
