//! What the system says about this process. Linux only: everything is read from `/proc/self` and a few
//! system calls; what cannot be read is left out.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Figures of the process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessReport {
    /// Processor time used so far by all threads, in seconds.
    pub cpu_seconds: f64,
    /// Memory in use, in bytes.
    pub resident_bytes: Option<u64>,
    /// Addresses in use, in bytes.
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open file descriptors, sockets included.
    pub open_fds: Option<u64>,
    /// How many there may be; `None` if any number.
    pub max_fds: Option<u64>,
    /// Memory that the process may use, in bytes.
    pub memory_limit: Option<u64>,
}

/// What the allocator says, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryReport {
    /// In use by the program.
    pub allocated: u64,
    /// In pages that are in use.
    pub active: u64,
    /// Held from the system, in use or not.
    pub resident: u64,
    /// Addresses that the allocator uses.
    pub mapped: u64,
    /// Addresses that it keeps for later, without memory behind them.
    pub retained: u64,
}

/// Looks at the process.
pub fn process() -> ProcessReport {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let page = rustix::param::page_size() as u64;
    let mut pages = statm.split_whitespace().map(str::parse::<u64>);
    let mut bytes = || Some(pages.next()?.ok()? * page);
    let (virtual_bytes, resident_bytes) = (bytes(), bytes());
    ProcessReport {
        cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        resident_bytes,
        virtual_bytes,
        threads: entries("/proc/self/task"),
        // The directory that is being read is open too.
        open_fds: entries("/proc/self/fd").map(|n| n.saturating_sub(1)),
        max_fds: getrlimit(Resource::Nofile).current,
        memory_limit: memory_limit(),
    }
}

fn entries(directory: &str) -> Option<u64> {
    Some(fs::read_dir(directory).ok()?.count() as u64)
}

/// Asks the allocator; `None` when it does not answer.
pub fn memory() -> Option<MemoryReport> {
    // Figures are as old as the epoch.
    tikv_jemalloc_ctl::epoch::advance().ok()?;
    use tikv_jemalloc_ctl::stats;
    Some(MemoryReport {
        allocated: stats::allocated::read().ok()? as u64,
        active: stats::active::read().ok()? as u64,
        resident: stats::resident::read().ok()? as u64,
        mapped: stats::mapped::read().ok()? as u64,
        retained: stats::retained::read().ok()? as u64,
    })
}

/// Sum of the sizes of the files in a directory and below it, in bytes; 0 without such a directory.
/// Symbolic links are not followed.
pub fn directory_size(directory: &Path) -> u64 {
    let mut size = 0;
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => pending.push(entry.path()),
                Ok(metadata) => size += metadata.len(),
                Err(_) => {}
            }
        }
    }
    size
}

/// When the process started.
pub fn started(uptime: std::time::Duration) -> SystemTime {
    SystemTime::now() - uptime
}

/// What a Java server says about its surroundings, in its order (`Environment.list`). What only a Java
/// virtual machine has reads `<NA>`.
pub fn environment(version: &str) -> Vec<(&'static str, String)> {
    let system = rustix::system::uname();
    let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| "<NA>".to_owned());
    let absent = || "<NA>".to_owned();
    let memory = memory();
    let free = memory.map(|m| m.resident.saturating_sub(m.allocated));
    vec![
        ("zookeeper.version", version.to_owned()),
        ("host.name", text(system.nodename())),
        ("java.version", absent()),
        ("java.vendor", absent()),
        ("java.home", absent()),
        ("java.class.path", absent()),
        ("java.library.path", absent()),
        ("java.io.tmpdir", path(&std::env::temp_dir())),
        ("java.compiler", absent()),
        ("os.name", text(system.sysname())),
        ("os.arch", architecture().to_owned()),
        ("os.version", text(system.release())),
        ("user.name", user().unwrap_or_else(|| "?".to_owned())),
        ("user.home", variable("HOME")),
        (
            "user.dir",
            std::env::current_dir().map_or_else(|_| absent(), |dir| path(&dir)),
        ),
        ("os.memory.free", megabytes(free)),
        ("os.memory.max", megabytes(machine_memory())),
        ("os.memory.total", megabytes(memory.map(|m| m.resident))),
    ]
}

/// The name that goes with our user id, as Java finds it.
fn user() -> Option<String> {
    let id = rustix::process::getuid().as_raw().to_string();
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let of_line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    };
    users.lines().find_map(of_line)
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// As Java names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        other => other,
    }
}

fn megabytes(bytes: Option<u64>) -> String {
    format!("{}MB", bytes.unwrap_or(0) >> 20)
}

/// Memory that the process may use, in bytes: the limit of its control group or of one around it, and never more
/// than the machine has.
pub fn memory_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let mounted = Path::new("/sys/fs/cgroup");
    let group = mounted.join(group.unwrap_or_default().trim_start_matches('/'));
    let around = group
        .ancestors()
        .take_while(|group| group.starts_with(mounted));
    let limits = around.filter_map(|group| {
        let limit = fs::read_to_string(group.join("memory.max")).ok()?;
        limit.trim().parse::<u64>().ok()
    });
    limits.chain(machine_memory()).min()
}

/// Memory of the machine, in bytes.
fn machine_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_every_figure_of_this_process() {
        let figures = process();
        assert!(figures.cpu_seconds > 0.0);
        assert!(
            figures.virtual_bytes >= figures.resident_bytes && figures.resident_bytes > Some(0)
        );
        assert!(figures.open_fds > Some(0) && figures.threads > Some(0));
        let before = process().open_fds;
        let file = fs::File::open("/proc/self/statm").unwrap();
        assert!(process().open_fds > before);
        drop(file);
        assert!(memory_limit() > figures.resident_bytes);
        assert!(memory().is_some_and(|memory| memory.resident >= memory.allocated));
    }

    #[test]
    fn a_directory_that_is_not_there_has_no_size() {
        assert_eq!(directory_size(Path::new("/nonexistent/version-2")), 0);
    }

    #[test]
    fn the_environment_has_the_keys_of_a_java_server_in_their_order() {
        let keys: Vec<&str> = environment("v").iter().map(|(key, _)| *key).collect();
        assert_eq!(
            keys.join(" "),
            "zookeeper.version host.name java.version java.vendor java.home java.class.path \
             java.library.path java.io.tmpdir java.compiler os.name os.arch os.version user.name \
             user.home user.dir os.memory.free os.memory.max os.memory.total"
        );
    }
}
