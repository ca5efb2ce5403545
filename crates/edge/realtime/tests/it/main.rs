//! The role as clients and engines see it: real sockets, engines in memory, a fan-out by script.
#![cfg(test)]

mod cases;
mod client;
mod closing;
mod compression;
mod deltas;
mod differential;
mod fan_out;
mod faults;
mod limits;
mod live;
mod many_rooms;
mod model;
mod others;
mod presence;
mod raw;
mod resuming;
mod slow;
mod standing;
mod subscribing;
mod tls;
mod typing;
mod upgrading;
mod wire;
mod world;
