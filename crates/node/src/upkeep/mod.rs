//! Work on a data directory by commands: comparing, rebuilding, backing up, restoring.

mod backup;
mod bar;
mod manifest;
mod models;
mod offline;
mod people;
mod person;
mod restore;
mod save;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use klatch_embedded::stores::ReadModel;

use crate::cli::ConfigArgs;

pub(crate) use backup::{Places, Sources};
pub(crate) use models::{rebuild, verify};
pub(crate) use offline::log_config;
pub(crate) use people::{Engines, compliance};
pub(crate) use person::{EraseArgs, ExportArgs, Whom, erase, export, find_user};
pub(crate) use restore::{RestoreArgs, restore};
pub(crate) use save::{BackupArgs, backup};

/// Which data directory.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Where everything is kept [default: ./data].
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Flags of `verify` and `rebuild`.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    #[command(flatten)]
    data: DataArgs,
    /// One of the read models; both when absent.
    #[arg(value_enum, value_name = "MODEL")]
    model: Option<Model>,
}

/// A read model on the command line; also by the name of the worker that writes it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Model {
    /// Message history, the ends of rooms, and which rooms spoke when.
    #[value(alias = "message-writer")]
    Messages,
    /// Users, rooms and members.
    #[value(alias = "meta-writer")]
    Metadata,
}

impl ModelArgs {
    fn models(&self) -> Vec<ReadModel> {
        match self.model {
            None => ReadModel::ALL.to_vec(),
            Some(Model::Messages) => vec![ReadModel::Messages],
            Some(Model::Metadata) => vec![ReadModel::Metadata],
        }
    }
}
