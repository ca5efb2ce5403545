//! The role as clients and engines see it: real sockets, engines in memory, a fan-out by script.
#![cfg(test)]

mod cases;
mod client;
mod compression;
mod fan_out;
mod faults;
mod live;
mod model;
mod raw;
mod resuming;
mod standing;
mod upgrading;
mod wire;
mod world;
