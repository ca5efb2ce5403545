//! What is left of a database when it is closed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A database's directory, removed when it is dropped if the database has ended. Comes after the
/// database among the fields of whoever holds both.
pub(crate) struct Files {
    dir: PathBuf,
    ended: AtomicBool,
    /// What is left if it cannot be removed; opening again removes it.
    what: &'static str,
}

impl Files {
    pub(crate) fn new(dir: &Path, what: &'static str) -> Self {
        Self { dir: dir.to_owned(), ended: AtomicBool::new(false), what }
    }

    /// Nobody will open it again.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if *self.ended.get_mut()
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            tracing::warn!(dir = %self.dir.display(), %error, "{}", self.what);
        }
    }
}
