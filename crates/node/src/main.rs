//! Owns the binary: command line, configuration, wiring of roles and adapters, life cycle.
//! Must not contain: rules, protocol, storage, or anything a role could do itself.

mod ask;
mod bench;
mod cli;
mod config;
mod control;
mod demo;
mod doctor;
mod durability;
mod host;
mod import;
mod metrics;
mod operator;
mod serve;
mod soak;
mod upkeep;
mod wiring;

use std::process::ExitCode;

use clap::Parser as _;
use tikv_jemallocator::Jemalloc;

/// Gives memory back a few seconds after a crowd has left; the C library's keeps it, because a few
/// small objects stay in every page. How it is set is in `.cargo/config.toml`, why in ADR 0021.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Exit code for a configuration that cannot work (`EX_CONFIG` would be 78; 64 is `EX_USAGE`).
const EXIT_CONFIG: u8 = 64;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            host::complain(&error);
            if error.downcast_ref::<config::ConfigError>().is_some() {
                ExitCode::from(EXIT_CONFIG)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
