//! A memory limit for one process, as the kubelet sets it: a control group of its own.
//!
//! Both versions of the kernel's interface are used, whichever has the memory controller. Creating a group
//! needs root, or a group that was delegated to the user. Swap counts as memory, as under a kubelet.
//!
//! A group is removed when it is dropped. One that a killed process left is removed by the next that is made.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::process::Program;

/// The beginning of every group's name; the process that made it and a number follow.
const PREFIX: &str = "acr-lab-";

/// The group that takes the processes of a delegated group, which must not have both processes and limits.
const REST: &str = "rest-of-acr-lab";

/// The longest wait for a dead process to leave its group.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often to try again: the kernel does not announce that a group is empty.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// Moves a shell into a group, and makes it the program.
const ENTER: &str = r#"echo $$ > "$0" && exec "$@""#;

/// The kernel's two interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    fn limit(self) -> &'static str {
        match self {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        }
    }

    /// Returns the file that limits swap, and whether its value includes memory.
    fn swap(self) -> (&'static str, bool) {
        match self {
            Version::One => ("memory.memsw.limit_in_bytes", true),
            Version::Two => ("memory.swap.max", false),
        }
    }

    fn peak(self) -> &'static str {
        match self {
            Version::One => "memory.max_usage_in_bytes",
            Version::Two => "memory.peak",
        }
    }

    /// Returns the file that has a line `oom_kill N`.
    fn kills(self) -> &'static str {
        match self {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        }
    }
}

/// A place where a group can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parent {
    version: Version,
    dir: PathBuf,
}

/// A control group with a memory limit; removed when dropped, with the processes that are still in it.
#[derive(Debug)]
pub struct MemoryCgroup {
    version: Version,
    dir: PathBuf,
}

impl MemoryCgroup {
    /// Makes a group with a limit in bytes. Fails where this process must not make one, and says what to do.
    pub fn create(limit: u64) -> anyhow::Result<MemoryCgroup> {
        let read = |file: &str| fs::read_to_string(file).with_context(|| format!("no {file}"));
        let parents = parents(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?);
        let mut reasons = Vec::new();
        for parent in &parents {
            sweep(&parent.dir);
            match parent.make(limit) {
                Ok(group) => return Ok(group),
                Err(error) => reasons.push(format!("{error:#}")),
            }
        }
        if parents.is_empty() {
            reasons.push("this kernel has no cgroup file system with memory limits".to_owned());
        }
        bail!(
            "no memory cgroup can be made ({}). Run this as root, or by systemd-run --user --scope -p Delegate=yes",
            reasons.join("; ")
        )
    }

    /// Returns the file that takes the ID of a process to move it into the group.
    pub fn procs(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    /// Returns a program to start in the group. A shell is in the group before it becomes the program, so that
    /// its start counts too.
    pub fn program(&self, program: impl AsRef<Path>, log: impl Into<PathBuf>) -> Program {
        let program = program.as_ref();
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        Program::new("sh", log).named(&name).args(["-c", ENTER]).arg(self.procs()).arg(program)
    }

    /// Returns the group's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the most bytes that the group used at once. Files that its processes read or wrote count, as
    /// far as the kernel keeps them in memory.
    pub fn peak(&self) -> anyhow::Result<u64> {
        let file = self.dir.join(self.version.peak());
        let text = fs::read_to_string(&file).with_context(|| format!("no {}", file.display()))?;
        text.trim().parse().with_context(|| format!("{} holds {text:?}", file.display()))
    }

    /// Returns how many processes of the group the kernel killed because the limit was reached.
    pub fn oom_kills(&self) -> anyhow::Result<u64> {
        let file = self.dir.join(self.version.kills());
        let text = fs::read_to_string(&file).with_context(|| format!("no {}", file.display()))?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        let count = count.with_context(|| format!("{} has no line oom_kill", file.display()))?;
        Ok(count.trim().parse()?)
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        remove(&self.dir);
    }
}

impl Parent {
    fn make(&self, limit: u64) -> anyhow::Result<MemoryCgroup> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = self.dir.join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&dir).with_context(|| format!("{} was not made", dir.display()))?;
        // Removes the directory again where a later step fails.
        let group = MemoryCgroup { version: self.version, dir };
        let limits = group.dir.join(self.version.limit());
        if !limits.exists() {
            self.delegate()?;
        }
        fs::write(&limits, limit.to_string()).with_context(|| format!("{} refused", limits.display()))?;
        let (swap, includes_memory) = self.version.swap();
        let swap = group.dir.join(swap);
        // A kernel without accounting of swap does not have the file.
        if swap.exists() {
            let most = if includes_memory { limit } else { 0 };
            fs::write(&swap, most.to_string()).with_context(|| format!("{} refused", swap.display()))?;
        }
        let file = fs::OpenOptions::new().write(true).open(group.procs());
        file.with_context(|| format!("{} must not be written", group.procs().display()))?;
        Ok(group)
    }

    /// Passes the memory controller on to groups in this one. The second version demands that no process is
    /// in a group that does so, the kernel's root excepted.
    fn delegate(&self) -> anyhow::Result<()> {
        let control = self.dir.join("cgroup.subtree_control");
        let enable = || fs::write(&control, "+memory");
        if enable().is_ok() {
            return Ok(());
        }
        let rest = self.dir.join(REST);
        if let Err(error) = fs::create_dir(&rest)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error).with_context(|| format!("{} was not made", rest.display()));
        }
        for process in fs::read_to_string(self.dir.join("cgroup.procs"))?.lines() {
            // One that has just ended needs no move.
            let _ = fs::write(rest.join("cgroup.procs"), process);
        }
        enable().with_context(|| format!("{} refused the memory controller", control.display()))
    }
}

/// Returns where a group can be made: at the root of the mount, which in a container is the container's own
/// group, and then in the group of this process.
fn parents(mounts: &str, groups: &str) -> Vec<Parent> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        // Optional fields precede the dash.
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let (before, after): (Vec<&str>, Vec<&str>) =
            (before.split(' ').collect(), after.split(' ').collect());
        let (Some(root), Some(mount)) = (before.get(3), before.get(4)) else { continue };
        let version = match after.first() {
            Some(&"cgroup") if after.last().is_some_and(|of| of.split(',').any(|of| of == "memory")) => {
                Version::One
            }
            Some(&"cgroup2") if has_memory(Path::new(mount)) => Version::Two,
            _ => continue,
        };
        found.push(Parent { version, dir: PathBuf::from(mount) });
        if let Some(own) = own_group(groups, version)
            && let Ok(inside) = Path::new(own).strip_prefix(root)
            && inside != Path::new("")
        {
            found.push(Parent { version, dir: Path::new(mount).join(inside) });
        }
    }
    found
}

/// Returns whether a mount of the second version has the memory controller. Where the first version has taken
/// it, it does not.
fn has_memory(mount: &Path) -> bool {
    let controllers = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
    controllers.split_whitespace().any(|controller| controller == "memory")
}

/// Returns the group of this process from `/proc/self/cgroup`.
fn own_group(groups: &str, version: Version) -> Option<&str> {
    groups.lines().find_map(|line| {
        let (number, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let is_it = match version {
            Version::One => controllers.split(',').any(|controller| controller == "memory"),
            Version::Two => number == "0",
        };
        is_it.then_some(path)
    })
}

/// Removes the groups that dead processes left.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let maker =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-')?.0.parse::<u32>().ok());
        if maker.is_some_and(|maker| !Path::new(&format!("/proc/{maker}")).exists()) {
            remove(&entry.path());
        }
    }
}

/// Kills what is in a group, and removes it when it is empty.
fn remove(dir: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while dir.exists() && fs::remove_dir(dir).is_err() && Instant::now() < deadline {
        for process in fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines() {
            if let Some(pid) = process.parse().ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        std::thread::sleep(POLL_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
31 1 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
37 31 0:34 / /nowhere/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn groups_are_made_at_the_mount_and_in_the_own_group() {
        let one = |dir: &str| Parent { version: Version::One, dir: PathBuf::from(dir) };
        let groups = "5:pids:/\n4:memory:/user/7\n0::/unified\n";
        let both = [one("/sys/fs/cgroup/memory"), one("/sys/fs/cgroup/memory/user/7")];
        assert_eq!(parents(MOUNTS, groups), both);
        assert_eq!(parents(MOUNTS, "4:memory:/\n"), both[..1]);
        assert_eq!(parents("", groups), []);
        // A container sees its own group as the mount's root.
        let inside = MOUNTS.replace("0:32 / ", "0:32 /user ");
        assert_eq!(parents(&inside, groups)[1], one("/sys/fs/cgroup/memory/7"));
    }

    #[test]
    fn the_second_version_counts_only_with_the_memory_controller() {
        let dir = tempfile::tempdir().unwrap();
        let mount = dir.path().to_str().unwrap().to_owned();
        let mounts = format!("37 31 0:34 / {mount} rw - cgroup2 cgroup2 rw\n");
        assert_eq!(parents(&mounts, "0::/a\n"), []);
        fs::write(dir.path().join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        let two = |dir: PathBuf| Parent { version: Version::Two, dir };
        assert_eq!(
            parents(&mounts, "0::/a\n"),
            [two(mount.clone().into()), two(Path::new(&mount).join("a"))]
        );
    }

    /// The files of the second version, in a plain directory.
    #[test]
    fn a_limit_and_the_figures_are_those_of_the_group() {
        let dir = tempfile::tempdir().unwrap();
        let group = MemoryCgroup { version: Version::Two, dir: dir.path().join("group") };
        fs::create_dir(&group.dir).unwrap();
        fs::write(group.dir.join("memory.peak"), "4096\n").unwrap();
        fs::write(group.dir.join("memory.events"), "low 0\noom 3\noom_kill 2\noom_group_kill 9\n").unwrap();
        assert_eq!((group.peak().unwrap(), group.oom_kills().unwrap()), (4096, 2));
        fs::write(group.dir.join("memory.events"), "low 0\n").unwrap();
        assert!(group.oom_kills().is_err());
        fs::remove_dir_all(&group.dir).unwrap();
    }
}
