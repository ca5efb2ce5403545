//! What a disk holds after its power was cut.
//!
//! Modelled: a file's bytes and length are sure up to its last sync; of what was written since,
//! every page (or sector) holds its bytes as of some moment in between, each another if need be,
//! and so does the length. A sync that fails has written some pages; the kernel forgets that the
//! others are not, and no later sync writes them, while everybody reads them, until they are
//! written to again: then a sync writes them whole. Names (creating, renaming, removing) reach the
//! disk in the order they were done, as journalling file systems do it, at least up to the last
//! sync of a directory that covers them. Not modelled: a device that lies about syncs, damage to
//! what was synced, and names that overtake one another.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use klatch_conformance::sample::Repeatable;

use crate::trace::{Event, moved};

const PAGE: usize = 4096;
const WHOLE: u64 = PAGE as u64;

/// Files and directories, by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    names: BTreeMap<PathBuf, Node>,
}

#[derive(Clone, Debug)]
enum Node {
    Directory,
    File(Content),
}

/// Pages that are not all zeros.
#[derive(Clone, Debug, Default)]
struct Content {
    length: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

/// How much of what was not synced is there.
#[derive(Clone, Copy, Debug)]
enum Mercy {
    /// Everything that still was to be written.
    All,
    /// Nothing.
    None,
    /// Everything up to some write.
    Prefix,
    /// Each unit of so many bytes as of some moment.
    Scattered(u64),
}

/// A file since its last sync.
#[derive(Debug, Default)]
struct Open<'a> {
    sure: Content,
    since: Vec<Change<'a>>,
    /// What everybody reads; kept since a sync failed.
    read: Option<Content>,
    /// Pages that a failed sync did not write, and no later one will.
    forgotten: BTreeSet<u64>,
}

#[derive(Debug)]
enum Change<'a> {
    Write(u64, Cow<'a, [u8]>),
    SetLength(u64),
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Directory,
    File(usize),
}

enum Naming {
    Put(PathBuf, Place),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Disk {
    /// Writes everything below `root`.
    pub(crate) fn lay_out(&self, root: &Path) {
        for (path, node) in &self.names {
            match node {
                Node::Directory => fs::create_dir(root.join(path)).expect("a directory"),
                Node::File(content) => {
                    let file = File::create(root.join(path)).expect("a file");
                    file.set_len(content.length).expect("a length");
                    for (number, page) in &content.pages {
                        let at = number * PAGE as u64;
                        let length = usize::try_from(content.length.saturating_sub(at));
                        let length = length.expect("small").min(PAGE);
                        file.write_all_at(&page[..length], at).expect("a page");
                    }
                }
            }
        }
    }

    /// What is there when the power is cut after `events`.
    pub(crate) fn cut(&self, events: &[Event], random: &Repeatable) -> Self {
        let mercy = match random.next() % 8 {
            0 => Mercy::All,
            1 => Mercy::None,
            2 => Mercy::Prefix,
            3 | 4 => Mercy::Scattered(512),
            _ => Mercy::Scattered(PAGE as u64),
        };
        let mut running = Running::from(self);
        for event in events {
            running.take(event, random);
        }
        running.cut(mercy, random)
    }
}

struct Running<'a> {
    files: Vec<Open<'a>>,
    /// Names at the beginning, and what was done to them since.
    before: BTreeMap<PathBuf, Place>,
    done: Vec<Naming>,
    /// How many of those are sure.
    sure: usize,
    now: BTreeMap<PathBuf, Place>,
}

impl<'a> Running<'a> {
    fn from(disk: &Disk) -> Self {
        let (mut files, mut before) = (Vec::new(), BTreeMap::new());
        for (path, node) in &disk.names {
            let place = match node {
                Node::Directory => Place::Directory,
                Node::File(content) => {
                    files.push(Open { sure: content.clone(), ..Open::default() });
                    Place::File(files.len() - 1)
                }
            };
            before.insert(path.clone(), place);
        }
        Self { files, now: before.clone(), before, done: Vec::new(), sure: 0 }
    }

    fn file(&mut self, path: &Path) -> &mut Open<'a> {
        match self.now.get(path) {
            Some(Place::File(number)) => &mut self.files[*number],
            _ => panic!("{} was not created", path.display()),
        }
    }

    fn take(&mut self, event: &'a Event, random: &Repeatable) {
        match event {
            Event::Create(path) => {
                self.files.push(Open::default());
                self.name(Naming::Put(path.clone(), Place::File(self.files.len() - 1)));
            }
            Event::CreateDirectory(path) => {
                self.name(Naming::Put(path.clone(), Place::Directory));
            }
            Event::Rename { from, to } => self.name(Naming::Rename(from.clone(), to.clone())),
            Event::Remove(path) => self.name(Naming::Remove(path.clone())),
            Event::Write { path, at, bytes } => {
                self.file(path).change(Change::Write(*at, Cow::Borrowed(bytes)));
            }
            Event::SetLength { path, length } => {
                self.file(path).change(Change::SetLength(*length));
            }
            Event::Sync(path) => self.file(path).sync(),
            Event::SyncFailed(path) => self.file(path).fail_sync(random),
            Event::SyncDirectory(path) => {
                let covered = |naming: &Naming| naming.directory() == Some(path);
                if let Some(last) = self.done.iter().rposition(covered) {
                    self.sure = self.sure.max(last + 1);
                }
            }
            Event::Mark(_) => {}
        }
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.now);
        self.done.push(naming);
    }

    fn cut(self, mercy: Mercy, random: &Repeatable) -> Disk {
        let open = self.done.len() - self.sure;
        let kept = match mercy {
            Mercy::All => open,
            Mercy::None => 0,
            Mercy::Prefix | Mercy::Scattered(_) => below(random, open + 1),
        };
        let mut names = self.before;
        for naming in &self.done[..self.sure + kept] {
            naming.apply(&mut names);
        }
        let node = |place| match place {
            Place::Directory => Node::Directory,
            Place::File(number) => Node::File(self.files[number].cut(mercy, random)),
        };
        Disk { names: names.into_iter().map(|(path, place)| (path, node(place))).collect() }
    }
}

impl Naming {
    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Put(path, _) | Self::Rename(path, _) | Self::Remove(path) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Place>) {
        match self {
            Self::Put(path, place) => {
                names.insert(path.clone(), *place);
            }
            Self::Rename(from, to) => {
                assert!(names.contains_key(from), "{} was not created", from.display());
                let of = |path: &PathBuf| path.strip_prefix(from).ok().map(|rest| moved(to, rest));
                let all: Vec<_> =
                    names.keys().filter_map(|old| Some((old.clone(), of(old)?))).collect();
                for (old, new) in all {
                    if let Some(place) = names.remove(&old) {
                        names.insert(new, place);
                    }
                }
            }
            Self::Remove(path) => {
                names.remove(path).expect("a name that was given");
            }
        }
    }
}

impl<'a> Open<'a> {
    fn change(&mut self, change: Change<'a>) {
        if let Some(read) = &mut self.read {
            for page in change.pages() {
                if self.forgotten.remove(&page) {
                    self.since.extend(read.page(page).map(|whole| {
                        Change::Write(page * PAGE as u64, Cow::Owned(whole.to_vec()))
                    }));
                }
            }
            read.apply(&change, WHOLE, &mut |_| true);
        }
        self.since.push(change);
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.since) {
            self.sure.apply(&change, WHOLE, &mut |_| true);
        }
        if let Some(read) = &self.read {
            self.sure.apply(&Change::SetLength(read.length), WHOLE, &mut |_| true);
        }
    }

    /// Some pages were written, and the new length or not.
    fn fail_sync(&mut self, random: &Repeatable) {
        let since = std::mem::take(&mut self.since);
        let read = self.read.get_or_insert_with(|| {
            let mut read = self.sure.clone();
            for change in &since {
                read.apply(change, WHOLE, &mut |_| true);
            }
            read
        });
        let mut length = self.sure.length;
        let mut written: HashMap<u64, bool> = HashMap::new();
        for change in &since {
            if let Change::SetLength(to) = change {
                length = *to;
            }
            self.sure.apply(change, WHOLE, &mut |at| {
                *written.entry(at / WHOLE).or_insert_with(|| random.next().is_multiple_of(2))
            });
        }
        if random.next().is_multiple_of(2) {
            self.sure.apply(&Change::SetLength(length), WHOLE, &mut |_| true);
            written.retain(|page, written| {
                *written = *written && (page + 1) * WHOLE <= length;
                true
            });
        } else {
            self.sure.apply(&Change::SetLength(read.length), WHOLE, &mut |_| true);
        }
        self.forgotten.extend(written.into_iter().filter(|(_, written)| !written).map(|it| it.0));
    }

    fn cut(&self, mercy: Mercy, random: &Repeatable) -> Content {
        let mut content = self.sure.clone();
        let all = self.since.len();
        let count = match mercy {
            Mercy::All => all,
            Mercy::None => 0,
            Mercy::Prefix | Mercy::Scattered(_) => below(random, all + 1),
        };
        let Mercy::Scattered(unit) = mercy else {
            for change in &self.since[..count] {
                content.apply(change, WHOLE, &mut |_| true);
            }
            return content;
        };
        // How many of the changes each unit has seen; `count` is for the length.
        let mut seen: HashMap<u64, usize> = HashMap::new();
        let mut length = content.length;
        for (index, change) in self.since.iter().enumerate() {
            let mut reached = |at: u64| {
                let seen = seen.entry(at / unit).or_insert_with(|| below(random, all + 1));
                index < *seen
            };
            match change {
                Change::Write(at, bytes) => {
                    content.apply(change, unit, &mut reached);
                    if index < count {
                        length = length.max(at + bytes.len() as u64);
                    }
                }
                Change::SetLength(to) if index < count => {
                    content.apply(change, unit, &mut reached);
                    length = *to;
                }
                Change::SetLength(_) => {}
            }
        }
        content.apply(&Change::SetLength(length), WHOLE, &mut |_| true);
        content
    }
}

impl Change<'_> {
    /// Those it writes to.
    fn pages(&self) -> std::ops::Range<u64> {
        match self {
            Self::Write(at, bytes) => at / WHOLE..(at + bytes.len() as u64).div_ceil(WHOLE),
            Self::SetLength(_) => 0..0,
        }
    }
}

impl Content {
    /// A page as far as the file goes; `None` where it does not.
    fn page(&self, number: u64) -> Option<Cow<'_, [u8]>> {
        let at = number * WHOLE;
        let length = usize::try_from(self.length.checked_sub(at)?.min(WHOLE)).expect("small");
        let page = self.pages.get(&number).map(|page| Cow::Borrowed(&page[..length]));
        Some(page.unwrap_or_else(|| Cow::Owned(vec![0; length])))
    }

    /// Applies a change in units of so many bytes (which divide a page), those that `reached` the
    /// disk.
    fn apply(&mut self, change: &Change<'_>, unit: u64, reached: &mut dyn FnMut(u64) -> bool) {
        match change {
            Change::SetLength(length) => {
                self.pages.retain(|number, _| number * (PAGE as u64) < *length);
                let rest = usize::try_from(length % PAGE as u64).expect("small");
                if let Some(page) = self.pages.get_mut(&(length / PAGE as u64)) {
                    page[rest..].fill(0);
                }
                self.length = *length;
            }
            Change::Write(at, bytes) => {
                self.length = self.length.max(at + bytes.len() as u64);
                for (at, part) in parts(*at, bytes, unit) {
                    if reached(at) {
                        let page = self.pages.entry(at / PAGE as u64);
                        let page = page.or_insert_with(|| vec![0; PAGE].into());
                        let from = usize::try_from(at % PAGE as u64).expect("small");
                        page[from..from + part.len()].copy_from_slice(part);
                    }
                }
            }
        }
    }
}

/// Parts of a write, none across a unit's border, and where each begins.
fn parts(mut at: u64, mut bytes: &[u8], unit: u64) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let room = usize::try_from(unit - at % unit).expect("small");
        let (part, rest) = bytes.split_at(room.min(bytes.len()));
        let found = (at, part);
        at += part.len() as u64;
        bytes = rest;
        (!part.is_empty()).then_some(found)
    })
}

/// A number below `limit`.
pub(crate) fn below(random: &Repeatable, limit: usize) -> usize {
    usize::try_from(random.next() % limit as u64).expect("small")
}

/// Where to cut: anywhere, or right at a change of names, where most goes wrong.
pub(crate) fn place_to_cut(events: &[Event], random: &Repeatable) -> usize {
    let anywhere = below(random, events.len() + 1);
    if random.next().is_multiple_of(2) {
        return anywhere;
    }
    let renaming =
        |event: &Event| !matches!(event, Event::Write { .. } | Event::Mark(_) | Event::Sync(_));
    let later = events.iter().skip(anywhere).position(renaming);
    let jitter = below(random, 3);
    later.map_or(anywhere, |later| (anywhere + later + jitter).min(events.len()))
}
