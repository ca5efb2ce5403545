//! Black-box tests of the checker: one bad history per promise, and generated ones.
#![cfg(test)]

mod bad;
mod generated;
mod model;
mod saved;
mod scene;
