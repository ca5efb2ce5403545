//! Who may read what is secret, and how many files may be open.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Findings;
use crate::config::Config;

/// What of the data directory nobody else may read.
const SECRETS: [&str; 3] = ["keys", "accounts", "signing.key"];
/// Bits of the group and of everybody else.
const OTHERS: u32 = 0o077;
/// Fewer files than this do not hold many people.
const FILES_FEW: u64 = 4_096;
/// Fewer are refused at the start.
const FILES_MIN: u64 = 128;
/// Entries of a directory of secrets that are looked at.
const ENTRIES_MOST: usize = 10_000;

pub(super) fn look(config: &Config, out: &mut Findings) {
    let dir = &config.server.data_dir;
    if !dir.is_dir() {
        return;
    }
    let dir_mode = mode(dir);
    let (mut open, mut seen) = (Vec::new(), 0);
    for name in SECRETS {
        collect_open(&dir.join(name), &mut open, &mut seen);
    }
    let shut = dir_mode.is_some_and(|mode| mode & OTHERS == 0);
    let shown = dir.display();
    match (shut, open.first()) {
        // A directory that is shut keeps what is in it.
        (true, _) => out.good("permissions", format!("only its owner may enter {shown}")),
        (false, None) => out.warn(
            "permissions",
            format!("others may look into {shown} (mode {:03o})", dir_mode.unwrap_or(0)),
            format!("chmod 700 {shown}"),
        ),
        (false, Some(first)) => out.bad(
            "permissions",
            format!(
                "{} can be read by others: words, sessions and tokens are open",
                first.display()
            ),
            format!("chmod -R go-rwx {shown}, then think of the keys as known"),
        ),
    }
    if let Some(tls) = &config.server.tls
        && mode(&tls.key).is_some_and(|mode| mode & OTHERS != 0)
    {
        let key = tls.key.display();
        let mend = format!("chmod 600 {key}");
        out.bad("permissions", format!("the private key {key} can be read by others"), mend);
    }
}

fn mode(path: &Path) -> Option<u32> {
    fs::symlink_metadata(path).ok().map(|about| about.permissions().mode() & 0o777)
}

/// Files at or below `path` that others may read.
fn collect_open(path: &Path, open: &mut Vec<PathBuf>, seen: &mut usize) {
    *seen += 1;
    let Ok(about) = fs::symlink_metadata(path) else { return };
    if about.is_symlink() || *seen > ENTRIES_MOST {
        return;
    }
    if about.is_dir() {
        if about.permissions().mode() & OTHERS != 0 {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                collect_open(&entry.path(), open, seen);
            }
        }
    } else if about.permissions().mode() & OTHERS != 0 {
        open.push(path.to_owned());
    }
}

pub(super) fn look_at_limits(out: &mut Findings) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    judge_limit(limit.maximum.unwrap_or(u64::MAX), out);
}

fn judge_limit(files: u64, out: &mut Findings) {
    let text = format!("{files} files may be open at a time, each connection is one");
    let mend = "raise the limit: ulimit -Hn 65536, or LimitNOFILE=65536 of the service";
    if files < FILES_MIN {
        out.bad("open files", format!("{text}: the server refuses to start"), mend);
    } else if files < FILES_FEW {
        out.warn("open files", text, mend);
    } else {
        out.good("open files", text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TlsFiles;
    use crate::doctor::Level;

    fn levels(config: &Config) -> Vec<Level> {
        let mut out = Findings::default();
        look(config, &mut out);
        out.0.iter().map(|finding| finding.level).collect()
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn keys_that_others_can_read_are_bad_and_say_how_to_shut_them() {
        let here = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.data_dir = here.path().join("data");
        assert_eq!(levels(&config), [], "what is not there is nothing to look at");
        let keys = here.path().join("data/keys");
        fs::create_dir_all(&keys).unwrap();
        fs::write(keys.join("server.key"), "secret").unwrap();
        set(&keys.join("server.key"), 0o600);
        set(&config.server.data_dir, 0o700);
        assert_eq!(levels(&config), [Level::Good]);
        set(&config.server.data_dir, 0o755);
        assert_eq!(levels(&config), [Level::Warning]);
        set(&keys.join("server.key"), 0o640);
        assert_eq!(levels(&config), [Level::Bad]);
        set(&keys, 0o700);
        assert_eq!(levels(&config), [Level::Warning], "the directory above is shut");
        set(&keys, 0o755);
        let mut out = Findings::default();
        look(&config, &mut out);
        assert!(out.0[0].mend.as_ref().unwrap().starts_with("chmod -R go-rwx"), "{out:?}");
        set(&config.server.data_dir, 0o700);
        assert_eq!(levels(&config), [Level::Good]);
    }

    #[test]
    fn a_private_key_of_tls_that_others_can_read_is_bad() {
        let here = tempfile::tempdir().unwrap();
        let key = here.path().join("key.pem");
        fs::write(&key, "secret").unwrap();
        set(&key, 0o644);
        let mut config = Config::default();
        config.server.data_dir = here.path().to_owned();
        config.server.tls = Some(TlsFiles { cert: key.clone(), key: key.clone() });
        set(here.path(), 0o700);
        assert_eq!(levels(&config), [Level::Good, Level::Bad]);
        set(&key, 0o600);
        assert_eq!(levels(&config), [Level::Good]);
    }

    #[test]
    fn few_files_are_told_and_too_few_are_bad() {
        for (files, level) in [(64, Level::Bad), (1_024, Level::Warning), (65_536, Level::Good)] {
            let mut out = Findings::default();
            judge_limit(files, &mut out);
            assert_eq!(out.0[0].level, level, "{files}");
        }
    }
}
