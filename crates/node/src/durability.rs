//! What an acknowledgement is worth on the file system that holds the data directory.

use std::fmt;
use std::path::Path;

/// File systems by the number that the kernel calls them by (`man 2 statfs`).
const KNOWN: &[(u64, &str, Kind)] = &[
    (0x0102_1994, "tmpfs", Kind::Memory),
    (0x8584_58f6, "ramfs", Kind::Memory),
    (0x794c_7630, "overlay", Kind::Overlay),
    (0x6969, "nfs", Kind::Network),
    (0x517b, "smb", Kind::Network),
    (0xfe53_4d42, "smb", Kind::Network),
    (0xff53_4d42, "cifs", Kind::Network),
    (0x00c3_6400, "ceph", Kind::Network),
    (0x0102_1997, "9p", Kind::Network),
    (0x6573_5546, "fuse", Kind::Unknown),
    (0xef53, "ext4", Kind::Disk),
    (0x5846_5342, "xfs", Kind::Disk),
    (0x9123_683e, "btrfs", Kind::Disk),
    (0x2fc1_2fc1, "zfs", Kind::Disk),
    (0xf2f5_2010, "f2fs", Kind::Disk),
];

/// Where files end up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// On a disk of this machine.
    Disk,
    /// In memory: a loss of power takes all of it.
    Memory,
    /// In the layer of a container, which is gone with the container.
    Overlay,
    /// On another machine, which has its own idea of a sync.
    Network,
    /// Nothing is known about it.
    Unknown,
}

/// The file system of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileSystem {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

impl FileSystem {
    /// Of the file or directory at `path`.
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        let about = rustix::fs::statfs(path)?;
        // Signed on some machines, but always 32 bits that mean something.
        let number = u64::from_ne_bytes(about.f_type.to_ne_bytes()) & 0xffff_ffff;
        Ok(Self::of_number(number))
    }

    fn of_number(number: u64) -> Self {
        let known = KNOWN.iter().find(|(own, ..)| *own == number);
        let (name, kind) =
            known.map_or(("unknown", Kind::Unknown), |(_, name, kind)| (name, *kind));
        Self { name, kind }
    }
}

/// What an acknowledgement is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It was synced before: it survives a loss of power, as far as the disk keeps its word.
    Fsync,
    /// It survives the death of the process and nothing worse.
    Volatile,
}

impl Durability {
    /// Of a server whose data directory is `dir`.
    pub(crate) fn of(dir: &Path) -> Self {
        match FileSystem::of(dir) {
            Ok(FileSystem { kind: Kind::Memory, .. }) => Self::Volatile,
            _ => Self::Fsync,
        }
    }

    /// In one word, for programs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Volatile => "volatile",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fsync => {
                "fsync: what is acknowledged was synced to the disk before, and survives a crash \
                 and a loss of power"
            }
            Self::Volatile => {
                "volatile: what is acknowledged survives a crash of the process, and is lost when \
                 the machine stops"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_from_disks_and_what_is_not_known_is_said_to_be_so() {
        assert_eq!(FileSystem::of_number(0x0102_1994).kind, Kind::Memory);
        assert_eq!(FileSystem::of_number(0xef53).name, "ext4");
        assert_eq!(FileSystem::of_number(0xfe53_4d42).kind, Kind::Network);
        assert_eq!(FileSystem::of_number(7).kind, Kind::Unknown);
    }

    /// `/dev/shm` is memory on every Linux that has it.
    #[test]
    fn a_directory_in_memory_makes_acknowledgements_volatile() {
        let (memory, here) = (Path::new("/dev/shm"), Path::new(env!("CARGO_MANIFEST_DIR")));
        if memory.is_dir() {
            assert_eq!(Durability::of(memory), Durability::Volatile);
        }
        FileSystem::of(here).unwrap();
    }
}
