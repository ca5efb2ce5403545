//! The query role on stores, keys and a log in memory.

mod history;
mod people;
mod positions;
mod rooms;
mod tail;
mod world;
