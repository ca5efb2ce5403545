//! The limiter on the KV in memory: against a model, over several instances, and when the KV fails.

mod bounds;
mod model;
mod several;
mod world;
