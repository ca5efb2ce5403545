//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{bench, config, doctor, import, operator, serve, soak, upkeep};

/// Klatch: a chat server that never loses a message.
///
/// One binary is the whole server: REST, WebSocket, web client, log and stores, with nothing else
/// to install. `klatch serve` needs no configuration file.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  klatch serve --demo                        a server with something to see in it
  klatch serve --listen 0.0.0.0:8080 --data-dir /var/lib/klatch
  klatch import chat.ndjson --server http://127.0.0.1:8080 --login admin
  klatch user reset ann                      a link that sets a new password
  klatch backup --to /backup/monday --keys-to /elsewhere/klatch-keys
  klatch config check --config klatch.toml   what would be used, secrets hidden

Settings come from defaults, then klatch.toml, then KLATCH_SECTION__KEY variables (for example
KLATCH_SERVER__LISTEN), then flags.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(ServeArgs),
    /// Bring in users, rooms and messages from an NDJSON file.
    Import(import::ImportArgs),
    /// Look at accounts and change them, on the machine of a running server.
    User(operator::commands::UserArgs),
    /// Make and end tokens of programs, on the machine of a running server.
    Token(operator::commands::TokenArgs),
    /// Copy everything to another place, also while the server runs; the keys apart from the rest.
    Backup(upkeep::BackupArgs),
    /// Make a new data directory from a backup and its keys.
    Restore(upkeep::RestoreArgs),
    /// Write everything that the server holds of a user to a file.
    Export(upkeep::ExportArgs),
    /// Erase a user for good: nothing they wrote can be read again, in any copy.
    Erase(upkeep::EraseArgs),
    /// Compare the read models with the log and name every row that differs. The server must not
    /// be running.
    Verify(upkeep::ModelArgs),
    /// Drop a read model and make it again from the log. The server must not be running.
    Rebuild(upkeep::ModelArgs),
    /// Measure a server on this machine, beside the bare limit of the machine.
    Bench(bench::BenchArgs),
    /// Let people use a server on this machine that is killed again and again, and look for what
    /// was lost, doubled, reordered or leaked.
    Soak(soak::SoakArgs),
    /// The bare epoll writer that `bench` compares with.
    #[command(hide = true)]
    BenchBaseline,
    /// Look at what a server needs on this machine and on the way to it, and say how to mend what
    /// is wrong.
    Doctor(doctor::DoctorArgs),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Read all sources, report what is wrong, print what would be used (secrets hidden).
    Check(ConfigArgs),
}

/// Where settings come from.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigArgs {
    /// A TOML file; `klatch.toml` in this directory is read if it is there.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Flags of `serve`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Address to listen on [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where everything is kept [default: ./data].
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Seed a room with a few messages and a bot that answers, and print a line to try.
    #[arg(long)]
    pub(crate) demo: bool,
}

pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Import(args) => import::run(args),
        Command::User(args) => operator::commands::user(args),
        Command::Token(args) => operator::commands::token(args),
        Command::Backup(args) => upkeep::backup(&args),
        Command::Restore(args) => upkeep::restore(&args),
        Command::Export(args) => upkeep::export(&args),
        Command::Erase(args) => upkeep::erase(&args),
        Command::Verify(args) => upkeep::verify(&args),
        Command::Rebuild(args) => upkeep::rebuild(&args),
        Command::Bench(args) => bench::run(args),
        Command::Soak(args) => soak::run(&args),
        Command::BenchBaseline => bench::baseline(),
        Command::Doctor(args) => doctor::run(&args),
        Command::Config(ConfigCommand::Check(args)) => config::check(&args),
    }
}
