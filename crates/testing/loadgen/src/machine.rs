//! What the figures were measured on.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

use crate::proc::kib;

/// Facts of the machine, printed with every result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Processors this process may use.
    pub cores: usize,
    /// The processor's name as the kernel gives it.
    pub processor: String,
    /// Main memory.
    pub memory_bytes: u64,
    /// The kernel's name and release.
    pub kernel: String,
    /// One-minute load at the start: other work on the machine shows here.
    pub load: String,
}

impl Machine {
    /// Reads them; what cannot be read is empty.
    pub fn read() -> Self {
        let uname = rustix::system::uname();
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let processor = cpuinfo
            .lines()
            .find(|line| line.starts_with("model name"))
            .and_then(|line| line.split(": ").nth(1))
            .unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: processor.to_owned(),
            memory_bytes: kib(&read("/proc/meminfo"), "MemTotal:") * 1024,
            kernel: format!(
                "{} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy()
            ),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

/// Raises the soft limit of open files to the hard one, and tells it.
pub(crate) fn raise_file_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(_) => current.unwrap_or(u64::MAX),
    }
}

/// Keeps this thread, and what it starts from now on, on some processors.
pub(crate) fn pin_to(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        ensure!(*cpu < CpuSet::MAX_CPU, "no processor {cpu}");
        set.set(*cpu);
    }
    sched_setaffinity(None, &set).with_context(|| format!("pinning to {cpus:?}"))
}

/// Starts something on other processors than this thread's own.
pub(crate) fn on<T>(cpus: Option<&[usize]>, start: impl FnOnce() -> Result<T>) -> Result<T> {
    let Some(cpus) = cpus else { return start() };
    let own = sched_getaffinity(None)?;
    pin_to(cpus)?;
    let outcome = start();
    sched_setaffinity(None, &own)?;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cores_memory_and_a_kernel() {
        let machine = Machine::read();
        assert!(machine.cores >= 1 && machine.memory_bytes > 1 << 28, "{machine:?}");
        assert!(machine.kernel.starts_with("Linux "), "{machine:?}");
    }
}
