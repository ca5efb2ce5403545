//! The names on a simulated disk: as they are now, and as a power cut leaves them.

use std::collections::{BTreeMap, BTreeSet};

use super::Random;

#[derive(Debug, Default)]
pub(super) struct Names {
    current: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    /// What was done since the directory was synced, oldest first.
    pending: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Set(String, u64),
    Remove(String),
    Rename(String, String, u64),
}

impl Step {
    fn path(&self) -> &str {
        match self {
            Self::Set(path, _) | Self::Remove(path) | Self::Rename(path, ..) => path,
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Set(path, id) => {
                names.insert(path.clone(), *id);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Rename(from, to, id) => {
                names.remove(from);
                names.insert(to.clone(), *id);
            }
        }
    }
}

fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl Names {
    pub(super) fn find(&self, path: &str) -> Option<u64> {
        self.current.get(path).copied()
    }

    pub(super) fn list(&self, dir: &str) -> Vec<String> {
        let inside = self.current.keys().filter(|path| directory(path) == dir);
        inside.filter_map(|path| path.rsplit('/').next()).map(str::to_owned).collect()
    }

    pub(super) fn inodes(&self) -> BTreeSet<u64> {
        self.current.values().copied().collect()
    }

    pub(super) fn set(&mut self, path: &str, id: u64) {
        self.step(Step::Set(path.to_owned(), id));
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.step(Step::Remove(path.to_owned()));
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(id) = self.find(from) {
            self.step(Step::Rename(from.to_owned(), to.to_owned(), id));
        }
    }

    fn step(&mut self, step: Step) {
        step.apply(&mut self.current);
        self.pending.push(step);
    }

    pub(super) fn sync(&mut self, dir: &str) {
        let Self { durable, pending, .. } = self;
        pending.retain(|step| {
            let here = directory(step.path()) == dir;
            if here {
                step.apply(durable);
            }
            !here
        });
    }

    /// Either a journal kept the order of steps, or each one got through by chance.
    pub(super) fn power_cut(&mut self, random: &mut Random) {
        let pending = std::mem::take(&mut self.pending);
        let in_order = random.coin();
        let kept = random.below(pending.len() as u64 + 1);
        for (count, step) in pending.iter().enumerate() {
            if if in_order { (count as u64) < kept } else { random.coin() } {
                step.apply(&mut self.durable);
            }
        }
        self.current = self.durable.clone();
    }
}
