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
pub(crate) mod tests;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use klatch_embedded::stores::ReadModel;

use crate::cli::ConfigArgs;

pub(crate) use backup::{Places, Sources};
pub(crate) use models::{Wanted, rebuild, verify, verify_live};
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
    /// One of the read models, or the snapshot of them; all when absent.
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
    /// The copy of both that lets the log forget.
    Snapshot,
}

/// What can be verified and made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Model(ReadModel),
    Snapshot,
}

impl Which {
    const ALL: [Self; 3] =
        [Self::Model(ReadModel::Messages), Self::Model(ReadModel::Metadata), Self::Snapshot];

    fn word(self) -> &'static str {
        match self {
            Self::Model(model) => model.as_str(),
            Self::Snapshot => "snapshot",
        }
    }
}

impl ModelArgs {
    fn which(&self) -> Vec<Which> {
        match self.model {
            None => Which::ALL.to_vec(),
            Some(Model::Messages) => vec![Which::Model(ReadModel::Messages)],
            Some(Model::Metadata) => vec![Which::Model(ReadModel::Metadata)],
            Some(Model::Snapshot) => vec![Which::Snapshot],
        }
    }

    /// The snapshot is made again only when it is named: models are made of it.
    fn which_to_rebuild(&self) -> Vec<Which> {
        let mut which = self.which();
        if self.model.is_none() {
            which.retain(|which| *which != Which::Snapshot);
        }
        which
    }
}
