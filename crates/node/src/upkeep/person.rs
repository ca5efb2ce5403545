//! `klatch export` and `klatch erase`: by the server that runs on the data directory, or without
//! one.

use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use klatch_compliance::Compliance;
use klatch_domain::audit::By;
use klatch_domain::{Entropy, UserId};
use klatch_embedded::accounts::Accounts;
use klatch_embedded::stores::{Stores, StoresConfig};
use klatch_ports::accounts::{ClaimKind, Claims as _};
use klatch_ports::api::compliance::ComplianceApi as _;
use klatch_protocol::rest::compliance::{CheckedBody, ErasedBody};
use klatch_protocol::sealed::KeyRing;
use klatch_pump::{DeadLetters, Projection, ProjectionConfig, Projector};
use klatch_retention::{P0, stores_for};
use klatch_workers::{MessageWriterProjector, MetaWriterProjector};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::backup::Sources;
use super::people::{Engines, compliance};
use super::{DataArgs, offline, save};
use crate::config::Config;
use crate::control;
use crate::host::{self, SystemEntropy};

/// Expanded keys remembered.
const KEY_RING: usize = 64;

/// Flags of `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Whose: a user name or an id.
    user: String,
    /// A new file for the lines of JSON.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// Flags of `erase`.
#[derive(Debug, Args)]
pub(crate) struct EraseArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Whom: a user name or an id.
    user: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Whom a command is about, as the control socket is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whom {
    pub(crate) user: String,
}

/// The user with this id or name.
pub(crate) async fn find_user(accounts: &Accounts, user: &str) -> anyhow::Result<UserId> {
    if let Ok(id) = user.parse() {
        return Ok(id);
    }
    let kind = if user.contains('@') { ClaimKind::Email } else { ClaimKind::Username };
    let holder = accounts.holder(kind, &user.trim().to_lowercase()).await?;
    holder.map(UserId::from_bits).with_context(|| format!("there is no user {user}"))
}

/// `klatch export`.
pub(crate) fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let (config, dir) = offline::settings(&args.data)?;
    let shown = args.to.display();
    let mut options = std::fs::File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(&args.to);
    let mut file = file.with_context(|| format!("making {shown}"))?;
    let whom = Whom { user: args.user.clone() };
    let exported = with_people(&config, &dir, async |place| match place {
        Place::Running(running) => running.download("/export", &whom, &mut file).await,
        Place::Here(accounts, people) => {
            let user = find_user(&accounts, &whom.user).await?;
            let mut export = people.export(By::Operator, user).await?;
            let mut bytes = 0;
            while let Some(lines) = export.next().await? {
                file.write_all(&lines)?;
                bytes += lines.len() as u64;
            }
            Ok(bytes)
        }
    });
    let bytes = match exported {
        Ok(bytes) => bytes,
        Err(error) => {
            // A part must not be taken for the whole.
            std::fs::remove_file(&args.to)?;
            return Err(error);
        }
    };
    file.sync_all()?;
    host::say(&format!("{shown}: everything of {}, {bytes} bytes", args.user));
    Ok(())
}

/// `klatch erase`.
pub(crate) fn erase(args: &EraseArgs) -> anyhow::Result<()> {
    let (config, dir) = offline::settings(&args.data)?;
    if !args.yes {
        confirm(&args.user)?;
    }
    let whom = Whom { user: args.user.clone() };
    let erased: ErasedBody = with_people(&config, &dir, async |place| match place {
        Place::Running(running) => {
            Ok(serde_json::from_value(running.ask("/erase", &whom, |_, _| {}).await?)?)
        }
        Place::Here(accounts, people) => {
            let user = find_user(&accounts, &whom.user).await?;
            Ok(people.erase(By::Operator, user).await?.into())
        }
    })?;
    report(&erased)
}

fn confirm(user: &str) -> anyhow::Result<()> {
    ensure!(std::io::stdin().is_terminal(), "say --yes: this cannot be undone");
    host::say(&format!("Everything of {user} will be unreadable for good. Type the name again:"));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    ensure!(line.trim() == user, "not erased");
    Ok(())
}

fn report(erased: &ErasedBody) -> anyhow::Result<()> {
    let ErasedBody { user_id, checked, .. } = erased;
    host::say(&format!("erased {user_id}"));
    for CheckedBody { store, found, readable } in checked {
        let verdict = if *readable == 0 { "ok   " } else { "LEFT " };
        host::say(&format!("  {verdict} {store}: {found}"));
    }
    let left: u64 = checked.iter().map(|checked| checked.readable).sum();
    if left > 0 {
        bail!("{left} things of them can still be read: run this again");
    }
    Ok(())
}

/// Who does the work.
enum Place {
    Running(control::Running),
    Here(Arc<Accounts>, Arc<Compliance>),
}

/// Does `work` with the server that runs on `dir`, or with the engines opened here and the read
/// models kept in step meanwhile.
fn with_people<T>(
    config: &Config,
    dir: &Path,
    work: impl AsyncFnOnce(Place) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if let Some(running) = control::find(dir).await? {
            return work(Place::Running(running)).await;
        }
        let sources = save::sources(config, dir)?;
        let (log, at) = (Arc::clone(&sources.log), dir.to_owned());
        let snapshot = sources.snapshot.clone();
        let stores = StoresConfig::default();
        let stores =
            tokio::task::spawn_blocking(move || stores_for(&log, &at, &snapshot, stores)).await??;
        let stop = CancellationToken::new();
        let running = follow(&sources, &stores, &stop);
        let accounts = Arc::clone(&sources.accounts);
        let log = Arc::clone(&sources.log);
        let people = compliance(engines(sources, stores), Vec::new());
        let done = work(Place::Here(accounts, Arc::new(people))).await;
        stop.cancel();
        for worker in running {
            worker.await??;
        }
        log.close();
        done
    })
}

fn engines(sources: Sources, stores: Stores) -> Engines {
    let Sources { log, accounts, keys, ledger, clock, .. } = sources;
    let ring = Arc::new(KeyRing::new(keys.clone(), KEY_RING));
    let Stores { messages, metadata } = stores;
    Engines { log, accounts, keys, ring, ledger, messages, metadata, clock }
}

type Worker = tokio::task::JoinHandle<Result<(), klatch_pump::PumpError>>;

/// Keeps the read models in step with the log until `stop`, as a server does.
fn follow(sources: &Sources, stores: &Stores, stop: &CancellationToken) -> Vec<Worker> {
    let (messages, metadata) = (stores.messages.clone(), stores.metadata.clone());
    let projectors: [Arc<dyn Projector>; 2] = [
        Arc::new(MessageWriterProjector::new(messages.clone(), messages)),
        Arc::new(MetaWriterProjector::new(metadata.clone(), metadata)),
    ];
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let start = |projector| {
        let (log, stop) = (sources.log.clone(), stop.clone());
        let dead = DeadLetters::new(log.clone(), Arc::clone(&entropy));
        let config = ProjectionConfig::default();
        let projection = Projection::new(projector, P0, log, dead, config);
        tokio::spawn(async move { projection.run(stop).await })
    };
    projectors.into_iter().map(start).collect()
}
