//! The snapshot, and a log whose beginning is gone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use klatch_domain::Timestamp;
use klatch_embedded::log::EmbeddedLog;
use klatch_embedded::stores::{Digest, ReadModel, Stores, StoresConfig};
use klatch_ports::Offset;
use klatch_retention::{Pace, Snapshot, end, is_stopped, start};
use klatch_testkit::ManualClock;
use tokio_util::sync::CancellationToken;

use super::super::models::Here;
use super::super::{Model, ModelArgs, models};
use super::story::{Dice, data, follow, open_small, tell};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn stores_for(world: &World) -> anyhow::Result<Stores> {
    let config = StoresConfig::default();
    klatch_retention::stores_for(&world.log, world.path(), &world.snapshot, config)
}

/// A data directory whose log has forgotten a part, and what its rows were before.
struct World {
    dir: tempfile::TempDir,
    log: Arc<EmbeddedLog>,
    snapshot: Snapshot,
    rows: [Digest; 2],
    /// Those of the snapshot.
    kept: Vec<Digest>,
}

fn digests(stores: &Stores) -> [Digest; 2] {
    ReadModel::ALL.map(|model| stores.freeze(model).digest(&mut |_| Ok(())).unwrap())
}

fn open_stores(dir: &Path) -> Stores {
    Stores::open(dir, StoresConfig::default()).unwrap()
}

impl World {
    /// A snapshot in the middle of the log, and nothing left of what was before it.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = open_small(dir.path(), &ManualClock::default());
        tell(&log, 3_000);
        let (stores, snapshot) = (open_stores(dir.path()), Snapshot::of(dir.path()));
        let (end, part) = (end(&log).unwrap(), Offset(1_500));
        assert!(end > Offset(3_000));
        follow(&log, &stores, part);
        let made = snapshot.hold().advance(&log, &stores, NOW, &mut Pace::full()).unwrap();
        assert_eq!((made.number, made.covers()), (1, part));
        let kept = digests(&stores).to_vec();
        follow(&log, &stores, end);
        let start = log.forget_before(part).unwrap();
        assert!(start > Offset(1_000) && start < part, "{start}");
        let rows = digests(&stores);
        Self { dir, log, snapshot, rows, kept }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn advance(&self) -> anyhow::Result<()> {
        let stores = open_stores(self.path());
        let held = self.snapshot.hold();
        held.advance(&self.log, &stores, NOW, &mut Pace::full()).map(drop)
    }

    /// What the command says when the directory is at rest.
    fn command(self, work: fn(&ModelArgs) -> anyhow::Result<()>, model: Option<Model>) -> Self {
        self.log.close();
        let Self { dir, log, snapshot, rows, kept } = self;
        drop(log);
        work(&ModelArgs { data: data(dir.path()), model }).unwrap();
        let log = open_small(dir.path(), &ManualClock::default());
        Self { dir, log, snapshot, rows, kept }
    }
}

#[test]
fn rows_made_of_a_snapshot_and_the_logs_tail_are_those_of_the_whole_log() {
    let world = World::new();
    let held = world.snapshot.hold();
    let here = Here { log: &world.log, dir: world.path(), held: &held };
    for model in ReadModel::ALL {
        let stores = open_stores(world.path());
        let told = |difference: &_| panic!("{difference}");
        let checked = here.check(&stores, model, &mut Pace::full(), told, &mut |_, _| {}).unwrap();
        assert_eq!(checked.compared.differences, 0);
        drop(stores);
        here.make_again(model).unwrap();
    }
    assert_eq!(digests(&open_stores(world.path())), world.rows);
    drop(held);
    let world = world.command(models::verify, None);
    let world = world.command(models::rebuild, None);
    assert_eq!(digests(&open_stores(world.path())), world.rows);
}

#[test]
fn a_snapshot_is_brought_further_and_counts_on() {
    let world = World::new();
    world.advance().unwrap();
    let manifest = world.snapshot.hold().verify(&mut Pace::full()).unwrap().unwrap();
    assert_eq!((manifest.number, manifest.covers()), (2, end(&world.log).unwrap()));
    // Everything may go then, but for what is being written to.
    let start = world.log.forget_before(Offset(u64::MAX)).unwrap();
    assert!(start > Offset(2_500), "{start}");
    let world = world.command(models::rebuild, None);
    assert_eq!(digests(&open_stores(world.path())), world.rows);
}

#[test]
fn read_models_that_were_lost_begin_with_the_snapshot() {
    let world = World::new();
    Stores::discard(world.path(), ReadModel::Messages).unwrap();
    let stores = stores_for(&world).unwrap();
    follow(&world.log, &stores, end(&world.log).unwrap());
    assert_eq!(digests(&stores), world.rows);
}

#[test]
fn without_a_snapshot_lost_read_models_are_told_and_nothing_is_made_up() {
    let world = World::new();
    std::fs::remove_dir_all(world.path().join("snapshot")).unwrap();
    Stores::discard(world.path(), ReadModel::Metadata).unwrap();
    let told = stores_for(&world).unwrap_err();
    let told = format!("{told:#}");
    assert!(told.contains("metadata") && told.contains("no snapshot"), "{told}");
    assert!(world.advance().is_err());
}

/// All files that hold rows.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.metadata().unwrap().len() > 0 {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What a file holds; of a journal without the zeros reserved behind its end.
fn written(path: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|ending| ending == "jnl") {
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
        bytes.truncate(end);
    }
    bytes
}

#[test]
fn a_flipped_bit_anywhere_in_a_snapshot_is_named_or_does_no_harm() {
    let world = World::new();
    let dir = world.path().join("snapshot");
    // Half of the rows in tables, as after longer work, the other half in the journal.
    let database = fjall::Database::builder(dir.join("stores/messages/1")).open().unwrap();
    let rows = database.keyspace("rows", fjall::KeyspaceCreateOptions::default).unwrap();
    rows.rotate_memtable_and_wait().unwrap();
    drop((rows, database));
    let (dice, mut named) = (Dice::new(4), 0);
    let all: Vec<_> = files(&dir).into_iter().map(|path| (written(&path), path)).collect();
    assert!(all.iter().any(|(_, path)| path.to_string_lossy().contains("tables")), "{all:?}");
    for n in 0..24 {
        // Opening a store changes its files.
        std::fs::remove_dir_all(&dir).unwrap();
        for (bytes, path) in &all {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let (bytes, path) = &all[n % all.len()];
        let mut bytes = bytes.clone();
        let byte = usize::try_from(dice.throw(bytes.len() as u64)).unwrap();
        bytes[byte] ^= 1 << dice.throw(8);
        std::fs::write(path, bytes).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let held = world.snapshot.hold();
        let filled: anyhow::Result<Vec<Digest>> = ReadModel::ALL
            .into_iter()
            .map(|model| {
                held.fill(scratch.path(), model, &mut Pace::full())?;
                let stores = open_stores(scratch.path());
                Ok(stores.freeze(model).digest(&mut |_| Ok(()))?)
            })
            .collect();
        drop(held);
        match filled {
            Err(error) => {
                named += 1;
                let told = format!("{error:#}");
                assert!(told.contains("snapshot"), "{told}");
                assert!(world.advance().is_err(), "{told}");
            }
            // What was not noticed was not of the rows.
            Ok(found) => assert_eq!(found, world.kept),
        }
    }
    assert!(named > 8, "only {named} of 24 were noticed");
}

#[test]
fn rows_that_are_not_as_the_log_says_stop_the_snapshot_and_are_named() {
    let world = World::new();
    let rows = world.path().join("stores").join("messages").join("1");
    {
        let database = fjall::Database::builder(rows).open().unwrap();
        let rows = database.keyspace("rows", fjall::KeyspaceCreateOptions::default).unwrap();
        let (key, value) = rows.prefix([2]).next().unwrap().into_inner().unwrap();
        let mut other = value.to_vec();
        other.push(1);
        rows.insert(key, other).unwrap();
        database.persist(fjall::PersistMode::SyncAll).unwrap();
    }
    let told = format!("{:#}", world.advance().unwrap_err());
    assert!(told.contains("1 rows of the read model messages") && told.contains("room"), "{told}");
    let manifest = world.snapshot.hold().manifest().unwrap().unwrap();
    assert_eq!((manifest.number, manifest.covers()), (1, Offset(1_500)));
    // Made of the snapshot and the tail, they are right again, and it goes on.
    let world = world.command(models::rebuild, Some(Model::Messages));
    assert_eq!(digests(&open_stores(world.path())), world.rows);
    world.advance().unwrap();
}

#[test]
fn a_snapshot_that_is_lost_is_made_of_the_read_models_when_someone_says_so() {
    let world = World::new();
    std::fs::remove_dir_all(world.path().join("snapshot")).unwrap();
    let told = format!("{:#}", world.advance().unwrap_err());
    assert!(told.contains("klatch rebuild snapshot"), "{told}");
    let world = world.command(models::rebuild, Some(Model::Snapshot));
    world.advance().unwrap();
    let world = world.command(models::rebuild, Some(Model::Messages));
    assert_eq!(digests(&open_stores(world.path())), world.rows);
}

#[test]
fn a_damaged_snapshot_is_made_again_by_itself_while_the_log_holds_everything() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_small(dir.path(), &ManualClock::default());
    tell(&log, 500);
    let (stores, snapshot) = (open_stores(dir.path()), Snapshot::of(dir.path()));
    follow(&log, &stores, end(&log).unwrap());
    let advance =
        || snapshot.hold().advance(&log, &stores, NOW, &mut Pace::full()).map(|made| made.number);
    assert_eq!(advance().unwrap(), 1);
    Stores::discard(&dir.path().join("snapshot"), ReadModel::Messages).unwrap();
    assert_eq!(start(&log).unwrap(), Offset::ZERO);
    assert_eq!(advance().unwrap(), 1);
    assert_eq!(advance().unwrap(), 2);
    let stop = CancellationToken::new();
    stop.cancel();
    let stopped = snapshot.hold().advance(&log, &stores, NOW, &mut snapshot.gentle_pace(stop));
    let stopped = stopped.map(|made| made.number);
    // With nothing to fold and few rows it may be done before it looks.
    assert!(stopped.as_ref().is_ok_and(|number| *number == 3) || is_stopped(&stopped.unwrap_err()));
}
