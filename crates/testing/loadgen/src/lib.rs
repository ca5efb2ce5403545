//! Loads a server from a second process and tells what it costs, beside a bare epoll writer.
//! Must not contain: a type of the server's roles or a test double; it knows the public interfaces.
//!
//! [`run`] starts the server (or takes a given one), brings users and rooms in by the bulk import,
//! drives the workloads from one epoll thread and gives a [`Report`] with rates, latencies, the
//! server's CPU seconds per million and whatever was lost, doubled or came in disorder. CPU is
//! read when everything is delivered, readable and the server is quiet, so that no work hides.
#![warn(missing_docs)]

mod acks;
mod args;
mod baseline;
mod chat;
mod child;
mod engine;
mod handshake;
mod http;
mod identity;
mod ledger;
mod machine;
mod metrics;
mod proc;
mod report;
mod scan;
mod server;
mod stats;
mod storm;
mod tls;
mod workload;
mod world;
mod ws;

pub use args::{Args, Pin, Sizes, Workload};
pub use baseline::baseline_server;
pub use child::Children;
pub use machine::Machine;
pub use proc::Memory;
pub use report::{Report, Row};
pub use server::Target;
pub use stats::Spread;

use std::io::Write;

use anyhow::{Result, ensure};

use crate::identity::Issuer;
use crate::workload::Bench;

/// Runs the workloads, each `repetitions` times in turns, and gives what was found. Short words
/// about what is going on are written to `progress`. Ends by itself: every stretch, wait and
/// start has its limit; children are ended by their ids.
///
/// # Errors
/// A server that does not start, refuses, closes connections or does not answer.
pub fn run(args: &Args, progress: &mut dyn Write) -> Result<Report> {
    ensure!(args.repetitions > 0 && args.seconds > 0.0, "nothing to do");
    let files = machine::raise_file_limit();
    ensure!(
        files > args.sizes.connections() + 100,
        "{} connections need more than the {files} files that a process may open here",
        args.sizes.connections()
    );
    let machine = Machine::read();
    if let Some(pin) = &args.pin {
        machine::pin_to(&pin.load)?;
    }
    let issuer = Issuer::new(args.unix_seconds, args.nonce);
    let mut bench = Bench::new(args, issuer, progress);
    for repetition in 1..=args.repetitions {
        for workload in &args.workloads {
            bench.run(*workload, repetition)?;
        }
    }
    let unknown = || "not said by the server".to_owned();
    let durability = args.durability.clone().or(bench.durability.take()).unwrap_or_else(unknown);
    Ok(Report {
        machine,
        unix_seconds: args.unix_seconds,
        command_line: args.command_line.clone(),
        durability,
        repetitions: args.repetitions,
        rows: report::rows(&bench.samples),
    })
}
