//! How many sockets the process may hold, from the files that it may open.

/// Fewer files than this are not enough for the log, the stores and a few people.
const FILES_MIN: u64 = 128;

/// Sockets at a time. What lies between the two is left for requests: a server that is full of
/// WebSocket connections still answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Of all kinds; at that many none is accepted.
    pub(crate) sockets: usize,
    /// WebSocket connections; more are refused.
    pub(crate) connections: usize,
}

impl Capacity {
    /// What this process's limit of open files allows, and no more connections than `asked`.
    ///
    /// # Errors
    /// Too few files.
    pub(crate) fn of_process(asked: Option<usize>) -> anyhow::Result<Self> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let files = limit.current.unwrap_or(u64::MAX);
        anyhow::ensure!(
            files >= FILES_MIN,
            "only {files} files may be open at a time: {FILES_MIN} are the least, and each \
             connection takes one more (see `ulimit -n`)"
        );
        Ok(Self::of(files, asked))
    }

    fn of(files: u64, asked: Option<usize>) -> Self {
        // The stores keep up to 384 tables open, the log some segments.
        let reserve = (files / 2).clamp(96, 768);
        let sockets = usize::try_from(files - reserve).unwrap_or(usize::MAX);
        let for_requests = (sockets / 32).clamp(8, 512);
        let connections = sockets - for_requests;
        match asked {
            Some(asked) if asked < connections => {
                Self { sockets: asked + for_requests, connections: asked }
            }
            _ => Self { sockets, connections },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_always_files_left_for_the_stores_and_sockets_for_requests() {
        let of = |files, asked| {
            let Capacity { sockets, connections } = Capacity::of(files, asked);
            (sockets, connections)
        };
        assert_eq!(of(128, None), (32, 24));
        assert_eq!(of(1_024, None), (512, 496));
        assert_eq!(of(20_000, None), (19_232, 18_720));
        assert_eq!(of(20_000, Some(100)), (612, 100));
        assert_eq!(of(1_024, Some(50_000)), (512, 496), "more than there are files is not had");
        assert!(of(u64::MAX, None).1 > 1 << 40);
    }
}
