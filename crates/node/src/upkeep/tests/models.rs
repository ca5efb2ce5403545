//! `verify` and `rebuild`.

use std::collections::BTreeSet;
use std::path::Path;

use klatch_embedded::stores::{Difference, How, ReadModel, Stores, StoresConfig};
use klatch_ports::log::LogReader as _;
use klatch_ports::messages::Applied;
use klatch_ports::{Offset, Partition, StreamId};
use klatch_pump::Projector;
use klatch_retention::{Pace, Snapshot, run};
use klatch_workers::{MessageWriterProjector, MetaWriterProjector};

use super::super::models::{Checked, Here};
use super::super::{ModelArgs, models};
use super::story::{Dice, data, open, tell};

const P0: Partition = Partition(0);

/// Folds the log as a server may have done: in batches of any size, stopped now and then.
fn serve(dir: &Path, seed: u64) {
    let (log, dice) = (open(dir), Dice::new(seed));
    for _ in 0..4 {
        let stores = Stores::open(dir, StoresConfig::default()).unwrap();
        let (messages, metadata) = (stores.messages.clone(), stores.metadata.clone());
        let projectors: [Box<dyn Projector>; 2] = [
            Box::new(MessageWriterProjector::new(messages.clone(), messages)),
            Box::new(MetaWriterProjector::new(metadata.clone(), metadata)),
        ];
        let work = async {
            for projector in projectors {
                let stream = projector.stream();
                let mut at = projector.position(P0).await.unwrap().offset;
                for _ in 0..60 {
                    let limit = 1 + usize::try_from(dice.throw(40)).unwrap();
                    let batch = log.read(stream, P0, at, limit).await.unwrap();
                    let applied = Applied { epoch: log.epoch(), offset: batch.through };
                    projector.apply(P0, applied, &batch.records).await.unwrap();
                    at = batch.through;
                }
            }
        };
        run(work).unwrap();
    }
}

fn is_at_the_end(dir: &Path) -> bool {
    let log = open(dir);
    let end = run(log.end(StreamId::Messages, P0)).unwrap().unwrap();
    let stores = Stores::open(dir, StoresConfig::default()).unwrap();
    let at = run(klatch_ports::messages::MessageReader::applied(&*stores.messages, P0));
    at.unwrap().unwrap().offset == end && end > Offset(1_000)
}

fn check(dir: &Path, model: ReadModel, told: &mut Vec<Difference>) -> Checked {
    let (log, snapshot) = (open(dir), Snapshot::of(dir));
    let held = snapshot.hold();
    let here = Here { log: &log, dir, held: &held };
    let stores = Stores::open(dir, StoresConfig::default()).unwrap();
    let told = |difference: &Difference| told.push(difference.clone());
    here.check(&stores, model, &mut Pace::full(), told, &mut |_, _| {}).unwrap()
}

fn make_again(dir: &Path, model: ReadModel) {
    let (log, snapshot) = (open(dir), Snapshot::of(dir));
    let held = snapshot.hold();
    Here { log: &log, dir, held: &held }.make_again(model).unwrap();
}

/// Spoils `count` rows from outside: changes, removes and adds them.
fn spoil(dir: &Path, model: ReadModel, count: usize) -> BTreeSet<Difference> {
    let dir = dir.join("stores").join(model.as_str()).join("1");
    let database = fjall::Database::builder(dir).open().unwrap();
    let rows = database.keyspace("rows", fjall::KeyspaceCreateOptions::default).unwrap();
    let all: Vec<_> = rows.iter().map(|row| row.into_inner().unwrap()).collect();
    // Not those that say what the rows are and how far they go: without them it is another store.
    let kinds = |key: &[u8]| !matches!(key, [1 | 12 | 13, ..]);
    let all: Vec<_> = all.into_iter().filter(|(key, _)| kinds(key)).collect();
    let (dice, mut spoilt) = (Dice::new(99), BTreeSet::new());
    let mut touched = BTreeSet::new();
    while spoilt.len() < count {
        let (key, value) = &all[usize::try_from(dice.throw(all.len() as u64)).unwrap()];
        if !touched.insert(key.clone()) {
            continue;
        }
        let (key, how) = match dice.throw(3) {
            0 => {
                rows.remove(key.clone()).unwrap();
                (key.to_vec(), How::Missing)
            }
            1 => {
                let mut other = value.to_vec();
                let at = usize::try_from(dice.throw(other.len().max(1) as u64)).unwrap();
                match other.get_mut(at) {
                    Some(byte) => *byte ^= 1 << dice.throw(8),
                    None => other.push(1),
                }
                rows.insert(key.clone(), other).unwrap();
                (key.to_vec(), How::Changed)
            }
            _ => {
                let mut other = key.to_vec();
                for byte in other.iter_mut().skip(1).take(4) {
                    *byte ^= 0xa5;
                }
                if other.len() < 5 {
                    continue;
                }
                rows.insert(other.clone(), value.clone()).unwrap();
                (other, How::Surplus)
            }
        };
        spoilt.insert(Difference { key: key.into(), how });
    }
    database.persist(fjall::PersistMode::SyncAll).unwrap();
    spoilt
}

#[test]
fn verify_names_exactly_the_rows_that_were_spoilt_and_a_rebuild_mends_them() {
    let dir = tempfile::tempdir().unwrap();
    tell(&open(dir.path()), 3_000);
    serve(dir.path(), 1);
    assert!(is_at_the_end(dir.path()));
    for model in ReadModel::ALL {
        let check = |told: &mut Vec<Difference>| check(dir.path(), model, told);
        let mut none = Vec::new();
        let before = check(&mut none);
        assert_eq!(none, [], "{model:?}");
        assert!(before.compared.rows > 100, "{model:?}: {before:?}");

        let spoilt = spoil(dir.path(), model, 100);
        let mut named = Vec::new();
        assert_eq!(check(&mut named).compared.differences, 100);
        assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), spoilt, "{model:?}");
        let args = ModelArgs { data: data(dir.path()), model: None };
        assert!(models::verify(&args).is_err());

        make_again(dir.path(), model);
        let after = check(&mut none);
        assert_eq!(none, [], "{model:?}");
        // The same bytes, row by row, as what the server had built in its own time.
        assert_eq!(after.compared, before.compared, "{model:?}");
    }
    assert!(!dir.path().join("verify.tmp").exists());
    models::verify(&ModelArgs { data: data(dir.path()), model: None }).unwrap();
}

#[test]
fn what_differs_is_named_by_what_it_is_about() {
    let mut message = vec![2];
    message.extend_from_slice(&5_u128.to_be_bytes());
    message.extend_from_slice(&17_u64.to_be_bytes());
    let told = |key: Vec<u8>, how| Difference { key: key.into(), how }.to_string();
    assert_eq!(
        told(message, How::Changed),
        "changed  the message of room 00000000-0000-0000-0000-000000000005, seq 17"
    );
    assert!(told(vec![99, 1], How::Surplus).starts_with("surplus"));
    assert!(told(vec![99, 1], How::Surplus).contains("63, 01"));
    assert_eq!(told(vec![2, 1], How::Missing).matches("room").count(), 1);
}

#[test]
fn verify_and_rebuild_keep_away_from_a_directory_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    tell(&log, 10);
    let args = || ModelArgs { data: data(dir.path()), model: None };
    for outcome in [models::verify(&args()), models::rebuild(&args())] {
        let told = format!("{:#}", outcome.unwrap_err());
        assert!(told.contains("in use by another process"), "{told}");
    }
    drop(log);
    models::rebuild(&args()).unwrap();
    models::verify(&args()).unwrap();
    let nowhere = ModelArgs { data: data(&dir.path().join("nowhere")), model: None };
    assert!(models::verify(&nowhere).unwrap_err().to_string().contains("no data directory"));
}
