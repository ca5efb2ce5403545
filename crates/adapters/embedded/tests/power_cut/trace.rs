//! Records what the code under test does to files, by standing in for the C library's functions
//! that change them: defined in this executable, they come before the library's own. Syncs of
//! files below a recorded directory are recorded and not carried out; some are made to fail.
//!
//! Not seen: memory maps (nothing here writes through one), `io_uring`, and raw system calls. Of
//! those one is made: the renaming of a temporary file, which is told from the file's number when
//! it is synced under its new name, as always happens next.
#![expect(unsafe_code, reason = "standing in for functions of the C library")]

use std::collections::HashMap;
use std::ffi::{CStr, OsStr, c_char, c_int, c_uint, c_void};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use klatch_ports::PortResult;
use parking_lot::Mutex;

/// A change of a file or directory below the recorded one; paths are relative to it.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Create(PathBuf),
    Write {
        path: PathBuf,
        at: u64,
        bytes: Vec<u8>,
    },
    SetLength {
        path: PathBuf,
        length: u64,
    },
    Sync(PathBuf),
    /// It was told so; of a directory it changes nothing and is not recorded.
    SyncFailed(PathBuf),
    SyncDirectory(PathBuf),
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove(PathBuf),
    CreateDirectory(PathBuf),
    /// The test says that something was acknowledged.
    Mark(u64),
}

struct Recording {
    root: PathBuf,
    events: Vec<Event>,
    /// Names of files by their numbers.
    names: HashMap<u64, PathBuf>,
    faults: Faults,
}

/// Which of the next syncs fail.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    /// So many succeed before.
    after: u64,
    left: u64,
    failed: u64,
}

impl Faults {
    fn next_fails(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        self.left -= 1;
        self.failed += 1;
        true
    }
}

impl Recording {
    fn new(root: &Path) -> Self {
        let (root, faults) = (root.to_owned(), Faults::default());
        let mut recording = Self { root, events: Vec::new(), names: HashMap::new(), faults };
        recording.learn(Path::new(""));
        recording
    }

    /// Learns the numbers of files that are there at the beginning.
    fn learn(&mut self, below: &Path) {
        for entry in fs::read_dir(self.root.join(below)).expect("a directory") {
            let entry = entry.expect("an entry");
            let path = below.join(entry.file_name());
            if entry.file_type().expect("a type").is_dir() {
                self.learn(&path);
            } else {
                self.names.insert(entry.ino(), path);
            }
        }
    }

    fn push(&mut self, event: Event) {
        let number = |path: &Path| fs::metadata(self.root.join(path)).ok().map(|file| file.ino());
        match &event {
            Event::Create(path) => {
                self.names.extend(number(path).map(|number| (number, path.clone())));
            }
            Event::Sync(path) | Event::SyncFailed(path) => {
                let old = number(path).and_then(|number| self.names.get(&number));
                if let Some(old) = old.filter(|old| *old != path) {
                    self.push(Event::Rename { from: old.clone(), to: path.clone() });
                }
            }
            Event::Rename { from, to } => {
                self.names.retain(|_, name| name != to);
                // Those below it, when it is a directory.
                for name in self.names.values_mut() {
                    if let Ok(rest) = name.strip_prefix(from) {
                        *name = moved(to, rest);
                    }
                }
            }
            Event::Remove(path) => self.names.retain(|_, name| name != path),
            _ => {}
        }
        self.events.push(event);
    }
}

/// Where something lies that was at `rest` below what is now `to`.
pub(crate) fn moved(to: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) }
}

static RECORDINGS: Mutex<Vec<Recording>> = Mutex::new(Vec::new());
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// A running recording.
pub(crate) struct Trace {
    root: PathBuf,
}

impl Trace {
    pub(crate) fn begin(root: &Path) -> Self {
        let recording = Recording::new(root);
        RECORDINGS.lock().push(recording);
        RUNNING.fetch_add(1, Ordering::SeqCst);
        Self { root: root.to_owned() }
    }

    pub(crate) fn mark(&self, mark: u64) {
        self.with(|recording| recording.events.push(Event::Mark(mark)));
    }

    /// Lets `after` more syncs succeed and the `count` after them fail.
    pub(crate) fn fail_syncs(&self, after: u64, count: u64) {
        self.with(|recording| recording.faults = Faults { after, left: count, failed: 0 });
    }

    /// Lets all syncs succeed again, and tells how many failed.
    pub(crate) fn mend(&self) -> u64 {
        self.with(|recording| std::mem::take(&mut recording.faults).failed)
    }

    /// Opens something; when a sync fails, again once syncs do not fail. Adds those that failed.
    pub(crate) fn opened<T>(
        &self,
        failed: &mut u64,
        what: &str,
        open: impl Fn() -> PortResult<T>,
    ) -> T {
        loop {
            match open() {
                Ok(opened) => return opened,
                Err(error) => {
                    let now = self.mend();
                    assert!(now > 0, "{what}: {error}");
                    *failed += now;
                }
            }
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Recording) -> T) -> T {
        let mut recordings = RECORDINGS.lock();
        let recording = recordings.iter_mut().find(|recording| recording.root == self.root);
        act(recording.expect("it runs"))
    }

    pub(crate) fn end(self) -> Vec<Event> {
        let mut recordings = RECORDINGS.lock();
        let place = recordings.iter().position(|recording| recording.root == self.root);
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        recordings.swap_remove(place.expect("it runs")).events
    }
}

/// Makes the relative path of an absolute one.
type Relative<'a> = &'a dyn Fn(&Path) -> PathBuf;

/// Runs `act`; when `path` is below a recorded directory, one at a time, and records its event.
fn record<R>(
    path: Option<PathBuf>,
    act: impl FnOnce(Option<(Relative<'_>, PathBuf)>) -> (R, Option<Event>),
) -> R {
    record_faulty(path, |below, _| act(below))
}

/// The same for a sync, which is told how it may fail.
fn record_faulty<R>(
    path: Option<PathBuf>,
    act: impl FnOnce(Option<(Relative<'_>, PathBuf)>, &mut Faults) -> (R, Option<Event>),
) -> R {
    let path = path.filter(|path| !path.as_os_str().as_bytes().ends_with(b" (deleted)"));
    let none = &mut Faults::default();
    let Some(path) = path else { return act(None, none).0 };
    let mut recordings = RECORDINGS.lock();
    let Some(recording) = recordings.iter_mut().find(|r| path.starts_with(&r.root)) else {
        drop(recordings);
        return act(None, none).0;
    };
    let Recording { root, faults, .. } = recording;
    let relative = |path: &Path| path.strip_prefix(&*root).unwrap_or(path).to_owned();
    let below = relative(&path);
    let (result, event) = act(Some((&relative, below)), faults);
    if let Some(event) = event {
        recording.push(event);
    }
    result
}

fn of_descriptor(descriptor: c_int) -> Option<PathBuf> {
    if RUNNING.load(Ordering::Relaxed) == 0 {
        return None;
    }
    fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()
}

/// The path that `name` means, below an open directory if it is not absolute.
///
/// # Safety
/// `name` is a C string.
unsafe fn of_name(directory: c_int, name: *const c_char) -> Option<PathBuf> {
    if RUNNING.load(Ordering::Relaxed) == 0 {
        return None;
    }
    // SAFETY: the caller's.
    let name = unsafe { CStr::from_ptr(name) };
    let name = Path::new(OsStr::from_bytes(name.to_bytes())).to_owned();
    if directory == CURRENT || name.is_absolute() {
        Some(name)
    } else {
        of_descriptor(directory).map(|directory| directory.join(name))
    }
}

const CURRENT: c_int = -100;
const CREATE: c_int = 0o100;
const TRUNCATE: c_int = 0o1000;

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn lseek64(descriptor: c_int, offset: i64, whence: c_int) -> i64;
    fn __errno_location() -> *mut c_int;
}

/// What a disk says that cannot.
const IO_ERROR: c_int = 5;

/// The C library's own function behind a stand-in.
macro_rules! real {
    ($name:literal, $type:ty) => {{
        static REAL: OnceLock<usize> = OnceLock::new();
        let name: &CStr = $name;
        // SAFETY: asks for the next definition after this executable's.
        let found =
            *REAL.get_or_init(|| unsafe { dlsym(-1isize as *mut c_void, name.as_ptr()) as usize });
        assert_ne!(found, 0, "the C library has no {name:?}");
        // SAFETY: the C library's function of this name has this type.
        unsafe { std::mem::transmute::<usize, $type>(found) }
    }};
}

type Write = unsafe extern "C" fn(c_int, *const c_void, usize) -> isize;
type WriteAt = unsafe extern "C" fn(c_int, *const c_void, usize, i64) -> isize;
type Open = unsafe extern "C" fn(*const c_char, c_int, c_uint) -> c_int;
type SetLength = unsafe extern "C" fn(c_int, i64) -> c_int;
type Descriptor = unsafe extern "C" fn(c_int) -> c_int;
type Name = unsafe extern "C" fn(*const c_char) -> c_int;
type TwoNames = unsafe extern "C" fn(*const c_char, *const c_char) -> c_int;
type NameBelow = unsafe extern "C" fn(c_int, *const c_char, c_int) -> c_int;
type NameMode = unsafe extern "C" fn(*const c_char, c_uint) -> c_int;

/// # Safety
/// That of the C library's function, as for all below.
#[unsafe(no_mangle)]
unsafe extern "C" fn open64(name: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    let real = real!(c"open64", Open);
    // SAFETY: the caller's, here and in the functions below.
    let path = unsafe { of_name(CURRENT, name) }.filter(|_| flags & (CREATE | TRUNCATE) != 0);
    let was_there = path.as_ref().is_some_and(|path| path.exists());
    record(path, |below| {
        let result = unsafe { real(name, flags, mode) };
        let event = below.filter(|_| result >= 0).and_then(|(_, path)| {
            if !was_there {
                return Some(Event::Create(path));
            }
            (flags & TRUNCATE != 0).then_some(Event::SetLength { path, length: 0 })
        });
        (result, event)
    })
}

fn written(
    below: Option<(Relative<'_>, PathBuf)>,
    at: impl FnOnce(u64) -> u64,
    bytes: *const c_void,
    result: isize,
) -> Option<Event> {
    let (_, path) = below?;
    let length = usize::try_from(result).ok()?;
    // SAFETY: as many bytes as were written from there.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) }.to_vec();
    Some(Event::Write { path, at: at(length as u64), bytes })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(descriptor: c_int, bytes: *const c_void, length: usize) -> isize {
    let real = real!(c"write", Write);
    record(of_descriptor(descriptor), |below| {
        let result = unsafe { real(descriptor, bytes, length) };
        let at = |length| {
            let behind = unsafe { lseek64(descriptor, 0, 1) };
            u64::try_from(behind).unwrap_or(0) - length
        };
        (result, written(below, at, bytes, result))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(
    descriptor: c_int,
    bytes: *const c_void,
    length: usize,
    offset: i64,
) -> isize {
    let real = real!(c"pwrite64", WriteAt);
    record(of_descriptor(descriptor), |below| {
        let result = unsafe { real(descriptor, bytes, length, offset) };
        let at = |_| u64::try_from(offset).unwrap_or(0);
        (result, written(below, at, bytes, result))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate64(descriptor: c_int, length: i64) -> c_int {
    let real = real!(c"ftruncate64", SetLength);
    record(of_descriptor(descriptor), |below| {
        let result = unsafe { real(descriptor, length) };
        let length = u64::try_from(length).unwrap_or(0);
        let event = below.filter(|_| result == 0);
        (result, event.map(|(_, path)| Event::SetLength { path, length }))
    })
}

fn synced(descriptor: c_int, real: Descriptor) -> c_int {
    record_faulty(of_descriptor(descriptor), |below, faults| {
        let Some((_, path)) = below else { return (unsafe { real(descriptor) }, None) };
        let about = fs::metadata(format!("/proc/self/fd/{descriptor}"));
        let is_directory = about.is_ok_and(|about| about.is_dir());
        if faults.next_fails() {
            // SAFETY: it is this thread's own.
            unsafe { *__errno_location() = IO_ERROR };
            return (-1, (!is_directory).then_some(Event::SyncFailed(path)));
        }
        (0, Some(if is_directory { Event::SyncDirectory(path) } else { Event::Sync(path) }))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(descriptor: c_int) -> c_int {
    synced(descriptor, real!(c"fsync", Descriptor))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    synced(descriptor, real!(c"fdatasync", Descriptor))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let real = real!(c"rename", TwoNames);
    let (path, to_path) = unsafe { (of_name(CURRENT, from), of_name(CURRENT, to)) };
    record(path, |below| {
        let result = unsafe { real(from, to) };
        let event = below.filter(|_| result == 0).zip(to_path);
        (result, event.map(|((relative, from), to)| Event::Rename { from, to: relative(&to) }))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(name: *const c_char) -> c_int {
    let real = real!(c"unlink", Name);
    record(unsafe { of_name(CURRENT, name) }, |below| {
        let result = unsafe { real(name) };
        (result, below.filter(|_| result == 0).map(|(_, path)| Event::Remove(path)))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlinkat(directory: c_int, name: *const c_char, flags: c_int) -> c_int {
    let real = real!(c"unlinkat", NameBelow);
    record(unsafe { of_name(directory, name) }, |below| {
        let result = unsafe { real(directory, name, flags) };
        (result, below.filter(|_| result == 0).map(|(_, path)| Event::Remove(path)))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rmdir(name: *const c_char) -> c_int {
    let real = real!(c"rmdir", Name);
    record(unsafe { of_name(CURRENT, name) }, |below| {
        let result = unsafe { real(name) };
        (result, below.filter(|_| result == 0).map(|(_, path)| Event::Remove(path)))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(name: *const c_char, mode: c_uint) -> c_int {
    let real = real!(c"mkdir", NameMode);
    record(unsafe { of_name(CURRENT, name) }, |below| {
        let result = unsafe { real(name, mode) };
        (result, below.filter(|_| result == 0).map(|(_, path)| Event::CreateDirectory(path)))
    })
}
