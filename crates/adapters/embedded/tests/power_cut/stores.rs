//! The read models: after a cut each is what its commits up to its position left, and replaying
//! from there makes it whole. What was synced stays, also when a sync failed before, in an earlier
//! life of the process.

use std::path::Path;

use bytes::Bytes;
use klatch_conformance::random::{IDS, SEQS, same_messages, same_metadata};
use klatch_conformance::run;
use klatch_conformance::sample::{
    P0, Repeatable, head, member, message, room, room_id, time, user, user_id,
};
use klatch_domain::member::MemberRole;
use klatch_domain::{Sealed, Seq};
use klatch_embedded::stores::{ReadModel, Stores, StoresConfig};
use klatch_ports::messages::{Applied, MessageCommit, MessageReader, MessageWriter, StayChange};
use klatch_ports::metadata::{MetadataCommit, MetadataProgress, MetadataWriter};
use klatch_ports::{Epoch, Offset, PortResult};

use crate::disk::{Disk, below, place_to_cut};
use crate::trace::{Event, Trace};

/// Buffers so small that tables are written and merged all the time.
const SMALL: StoresConfig = StoresConfig {
    cache_bytes: 1 << 20,
    message_buffer_bytes: 48 << 10,
    metadata_buffer_bytes: 16 << 10,
    journal_bytes: 64 << 20,
    open_files: 32,
    refuse_older: false,
    in_place: false,
};

/// Buffers that are hardly ever full: rows are nowhere but in the journal.
const LARGE: StoresConfig =
    StoresConfig { message_buffer_bytes: 8 << 20, metadata_buffer_bytes: 8 << 20, ..SMALL };

/// What is committed (every commit follows from its life and number alone), and how much.
#[derive(Clone, Copy)]
struct Script {
    seed: u64,
    /// Bytes of the longest bodies.
    longest: usize,
    /// Commits between two cuts, at least and at most.
    steps: (usize, usize),
    /// Whether to cut where a journal begins.
    at_journals: bool,
    /// One in how many commits is followed by a sync.
    sync_one_in: u64,
    /// Lives of the process before each cut; in all but the last a sync fails.
    lives: usize,
    config: StoresConfig,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            seed: 0,
            longest: 9_000,
            steps: (0, 150),
            at_journals: false,
            sync_one_in: 40,
            lives: 1,
            config: SMALL,
        }
    }
}

impl Script {
    fn applied(epoch: u32, offset: u64) -> Applied {
        Applied { epoch: Epoch(epoch), offset: Offset(offset) }
    }

    fn random(self, epoch: u32, offset: u64) -> Repeatable {
        Repeatable::new(self.seed ^ u64::from(epoch) << 48 ^ offset << 8)
    }

    fn messages(self, epoch: u32, offset: u64) -> MessageCommit {
        let random = self.random(epoch, offset);
        let applied = Self::applied(epoch, offset);
        let mut commit = MessageCommit { partition: P0, applied, ..Default::default() };
        for _ in 0..=random.next() % 6 {
            let (n, seq) = (random.next() % IDS, 1 + random.next() % SEQS);
            let mut row = message(room_id(n), seq, (!seq.is_multiple_of(3)).then_some(seq));
            let length = if random.next().is_multiple_of(8) { self.longest } else { 200 };
            let mut body = random.next().to_be_bytes().to_vec();
            body.resize(8 + below(&random, length), body[0]);
            row.body = Some(Sealed { person: row.sender, bytes: Bytes::from(body) });
            row.edited = Some((time(offset), Seq(offset)));
            commit.messages.push(row);
            commit.heads.push((room_id(n), head(offset, seq, offset)));
        }
        let active = commit.heads.iter().map(|(_, stored)| stored.head.active_at).max();
        let told = |(room, _): &(_, _)| (Offset(offset), *room, active.unwrap_or_default());
        let spoke = commit.heads.last().map(told);
        commit.events.extend(spoke);
        if random.next().is_multiple_of(3) {
            let (room, user) = (room_id(random.next() % IDS), user_id(random.next() % IDS));
            let (offset, inside) = (Offset(offset), !random.next().is_multiple_of(3));
            commit.stays.push(StayChange { room, user, offset, inside });
        }
        if random.next().is_multiple_of(4) {
            let external = u128::from(random.next() % 6);
            commit.externals.push((external, room_id(random.next() % IDS), Seq(offset)));
        }
        commit
    }

    fn metadata(self, epoch: u32, offset: u64) -> MetadataCommit {
        let random = self.random(epoch, offset);
        let applied = Self::applied(epoch, offset);
        let mut commit = MetadataCommit { partition: P0, applied, ..Default::default() };
        for _ in 0..=random.next() % 4 {
            let n = random.next() % IDS;
            match random.next() % 4 {
                0 => {
                    let mut user = user(n);
                    user.created_at = time(offset);
                    let external = random.next().is_multiple_of(3).then_some(u128::from(n));
                    commit.users.push((user, external));
                }
                1 => {
                    let mut room = room(n);
                    room.deleted = random.next().is_multiple_of(4);
                    room.member_count = offset;
                    commit.rooms.push((room, None));
                }
                _ => {
                    let mut stay = member(user_id(random.next() % IDS), offset);
                    if random.next().is_multiple_of(3) {
                        stay.role = MemberRole::Owner;
                    }
                    stay.left_seq = random.next().is_multiple_of(3).then_some(Seq(offset + 1));
                    commit.members.push((room_id(n), stay));
                }
            }
        }
        commit
    }
}

/// How far one store was brought.
#[derive(Clone, Copy)]
struct Reached {
    epoch: u32,
    /// The last commit made in this life.
    offset: u64,
    /// The last life whose beginning was acknowledged before the cut.
    sure_epoch: u32,
    /// The life and commit that were synced before the cut.
    kept: (u32, u64),
}

/// Checks that rows are those of the commits up to the position, which was reached, and gives it.
async fn check_messages(stores: &Stores, script: Script, reached: Reached) -> Applied {
    let applied = stores.messages.applied(P0).await.expect("applied");
    check_position(applied, reached);
    let oracle = klatch_memory::messages::MessageStore::new();
    for offset in 1..=applied.offset.0 {
        oracle.commit(script.messages(applied.epoch.0, offset)).await.expect("memory");
    }
    same_messages(&*stores.messages, &oracle).await;
    applied
}

async fn check_metadata(stores: &Stores, script: Script, reached: Reached) -> Applied {
    let applied = stores.metadata.applied(P0).await.expect("applied");
    check_position(applied, reached);
    let oracle = klatch_memory::metadata::MetadataStore::new();
    for offset in 1..=applied.offset.0 {
        oracle.commit(script.metadata(applied.epoch.0, offset)).await.expect("memory");
    }
    same_metadata(&*stores.metadata, &oracle).await;
    applied
}

fn check_position(applied: Applied, reached: Reached) {
    let (epoch, offset) = reached.kept;
    // Whatever was wiped since may be gone.
    if offset > 0 && epoch == reached.epoch {
        assert!(applied.epoch.0 == epoch && applied.offset.0 >= offset, "{applied:?}: was synced");
    }
    if applied == Applied::default() {
        return;
    }
    assert!(applied.epoch.0 <= reached.epoch, "{applied:?}: a life that never was");
    assert!(applied.epoch.0 >= reached.sure_epoch, "{applied:?}: wiped rows came back");
    let limit = if applied.epoch.0 == reached.epoch { reached.offset } else { u64::MAX };
    assert!(applied.offset.0 <= limit, "{applied:?}: a commit that never was");
}

/// What happened, so that a test can tell that it tested something.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    journals_begun: usize,
    tables_written: usize,
    tables_removed: usize,
    syncs_failed: u64,
}

fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "jnl")
}

impl Seen {
    fn count(&mut self, events: &[Event]) {
        let table = |path: &Path| path.parent().is_some_and(|parent| parent.ends_with("tables"));
        for event in events {
            match event {
                Event::Create(path) if table(path) => self.tables_written += 1,
                Event::Remove(path) if table(path) => self.tables_removed += 1,
                Event::Create(path) if is_journal(path) => self.journals_begun += 1,
                _ => {}
            }
        }
    }
}

/// Both models.
#[derive(Clone, Copy)]
struct Both {
    messages: Reached,
    metadata: Reached,
}

impl Both {
    fn new() -> Self {
        let nothing = Reached { epoch: 1, offset: 0, sure_epoch: 0, kept: (0, 0) };
        Self { messages: nothing, metadata: nothing }
    }

    /// Checks that the rows are those of a position that was reached, and goes on from it.
    async fn check(&mut self, stores: &Stores, script: Script) {
        let at = check_messages(stores, script, self.messages).await;
        self.messages = go_on(self.messages, at);
        let at = check_metadata(stores, script, self.metadata).await;
        self.metadata = go_on(self.metadata, at);
    }

    /// Takes in what was sure when the power was cut behind these events.
    fn cut(&mut self, events: &[Event], synced: &[[(u32, u64); 2]]) {
        for event in events {
            match event {
                Event::Mark(mark) if *mark >= SYNCED => {
                    let at = usize::try_from(mark - SYNCED).expect("small");
                    [self.messages.kept, self.metadata.kept] = synced[at];
                }
                Event::Mark(mark) if mark % 2 == 0 => self.messages.sure_epoch = epoch_of(*mark),
                Event::Mark(mark) => self.metadata.sure_epoch = epoch_of(*mark),
                _ => {}
            }
        }
    }
}

/// Commits, syncs and wipes, for as long as the script says, or until the disk fails.
async fn live(
    stores: &Stores,
    (script, trace, random): (Script, &Trace, &Repeatable),
    both: &mut Both,
    synced: &mut Vec<[(u32, u64); 2]>,
) -> PortResult<()> {
    let (least, most) = script.steps;
    for _ in 0..least + below(random, most - least) {
        commit(stores, script, both).await?;
        if random.next().is_multiple_of(script.sync_one_in) {
            stores.persist()?;
            trace.mark(SYNCED + synced.len() as u64);
            synced.push([both.messages, both.metadata].map(|at| (at.epoch, at.offset)));
        }
        if random.next().is_multiple_of(64) {
            wipe_one(stores, trace, random, both).await?;
        }
    }
    Ok(())
}

/// Opens, checks, goes on for some commits, all recorded; cut after cut.
async fn live_through(script: Script, cuts: usize) -> Seen {
    let seed = script.seed;
    let mut happened = Seen::default();
    let random = Repeatable::new(seed);
    let mut disk = Disk::default();
    let mut both = Both::new();
    for cut in 0..cuts {
        let dir = tempfile::tempdir().expect("a directory");
        disk.lay_out(dir.path());
        let trace = Trace::begin(dir.path());
        let mut synced = Vec::new();
        for life in 1..=script.lives {
            let what = format!("seed {seed}, cut {cut}, life {life}");
            if life < script.lives {
                trace.fail_syncs(random.next() % 60, 1 + random.next() % 3);
            }
            let stores = trace.opened(&mut happened.syncs_failed, &what, || {
                Stores::open(dir.path(), script.config)
            });
            both.check(&stores, script).await;
            let outcome = live(&stores, (script, &trace, &random), &mut both, &mut synced).await;
            drop(stores);
            let failed = trace.mend();
            happened.syncs_failed += failed;
            assert!(outcome.is_ok() || failed > 0, "{what}: {outcome:?}");
        }
        let events = trace.end();
        let begins = events
            .iter()
            .rposition(|event| matches!(event, Event::Create(path) if is_journal(path)));
        let place = match begins.filter(|_| script.at_journals) {
            Some(begins) => (begins + below(&random, 8)).saturating_sub(3).min(events.len()),
            None => place_to_cut(&events, &random),
        };
        both.cut(&events[..place], &synced);
        happened.count(&events);
        disk = disk.cut(&events[..place], &random);
    }
    finish(script, &disk, both).await;
    happened
}

/// Goes on for so long that everything is written anew.
async fn finish(script: Script, disk: &Disk, mut both: Both) {
    let dir = tempfile::tempdir().expect("a directory");
    disk.lay_out(dir.path());
    let trace = Trace::begin(dir.path());
    let what = format!("seed {}", script.seed);
    let stores = trace.opened(&mut 0, &what, || Stores::open(dir.path(), script.config));
    both.check(&stores, script).await;
    for _ in 0..200 {
        commit(&stores, script, &mut both).await.expect("commit");
    }
    both.check(&stores, script).await;
    drop(stores);
    trace.end();
}

/// Marks from here on say how much was synced by then.
const SYNCED: u64 = 1 << 32;

fn epoch_of(mark: u64) -> u32 {
    u32::try_from(mark / 2).expect("small")
}

/// Where to go on after opening at `applied`.
fn go_on(reached: Reached, applied: Applied) -> Reached {
    if applied == Applied::default() {
        // Nothing is there: the life that was begun last begins again.
        return Reached { offset: 0, ..reached };
    }
    Reached { epoch: applied.epoch.0, offset: applied.offset.0, ..reached }
}

async fn commit(
    stores: &Stores,
    script: Script,
    Both { messages, metadata }: &mut Both,
) -> PortResult<()> {
    messages.offset += 1;
    stores.messages.commit(script.messages(messages.epoch, messages.offset)).await?;
    metadata.offset += 1;
    stores.metadata.commit(script.metadata(metadata.epoch, metadata.offset)).await
}

async fn wipe_one(
    stores: &Stores,
    trace: &Trace,
    random: &Repeatable,
    both: &mut Both,
) -> PortResult<()> {
    let which = random.next() % 2;
    let reached = if which == 0 { &mut both.messages } else { &mut both.metadata };
    // It may be done also when it fails.
    reached.epoch += 1;
    reached.offset = 0;
    if which == 0 {
        stores.messages.wipe().await?;
    } else {
        stores.metadata.wipe().await?;
    }
    trace.mark(u64::from(reached.epoch) * 2 + which);
    Ok(())
}

fn many(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let script = Script { seed, ..Script::default() };
        let seen = run(live_through(script, 8));
        assert!(seen.tables_written > 5 && seen.tables_removed > 0, "{seed}: {seen:?}");
    }
}

#[test]
fn a_power_cut_leaves_each_read_model_a_true_prefix_first_part() {
    many(crate::seeds(0, 10));
}

#[test]
fn a_power_cut_leaves_each_read_model_a_true_prefix_second_part() {
    many(crate::seeds(100_000, 10));
}

#[test]
fn what_is_synced_stays_when_a_sync_failed_in_an_earlier_life() {
    let mut failed = 0;
    for seed in crate::seeds(200_000, 20) {
        let config = if seed.is_multiple_of(4) { SMALL } else { LARGE };
        let script = Script { seed, sync_one_in: 10, lives: 3, config, ..Script::default() };
        failed += run(live_through(script, 4)).syncs_failed;
    }
    assert!(failed > 20, "{failed}");
}

#[test]
fn a_power_cut_where_a_journal_begins_leaves_a_true_prefix() {
    // Rows so long that these commits fill a journal, which fjall ends at 64 MB.
    let (longest, steps) = (900_000, (420, 421));
    let script = Script { seed: 77, longest, steps, at_journals: true, ..Script::default() };
    let seen = run(live_through(script, 4));
    assert!(seen.journals_begun >= 3, "{seen:?}");
}

/// Fills a model, discards it, and cuts the power somewhere meanwhile.
async fn discard_and_cut(seed: u64) {
    let random = Repeatable::new(seed);
    let script = Script { seed, ..Script::default() };
    let mut both = Both::new();
    let dir = tempfile::tempdir().expect("a directory");
    let trace = Trace::begin(dir.path());
    let stores = Stores::open(dir.path(), SMALL).expect("stores");
    for _ in 0..30 {
        commit(&stores, script, &mut both).await.expect("commit");
    }
    stores.persist().expect("persist");
    drop(stores);
    trace.mark(SYNCED);
    Stores::discard(dir.path(), ReadModel::Messages).expect("discard");
    let events = trace.end();
    let begun = events.iter().position(|event| matches!(event, Event::Mark(SYNCED)));
    let begun = begun.expect("a mark");
    let place = begun + below(&random, events.len() - begun + 1);
    let after = tempfile::tempdir().expect("a directory");
    Disk::default().cut(&events[..place], &random).lay_out(after.path());
    let stores = Stores::open(after.path(), SMALL)
        .unwrap_or_else(|error| panic!("seed {seed}, cut {place}: {error}"));
    let at = check_messages(&stores, script, both.messages).await;
    assert!(at == Applied::default() || at.offset == Offset(30), "seed {seed}: {at:?}");
    check_metadata(&stores, script, both.metadata).await;
    let left = std::fs::read_dir(after.path().join("stores")).expect("a directory").count();
    assert_eq!(left, 2, "seed {seed}: nothing is left aside");
}

#[test]
fn a_power_cut_while_a_read_model_is_discarded_leaves_all_of_it_or_nothing() {
    for seed in crate::seeds(300_000, 40) {
        run(discard_and_cut(seed));
    }
}
