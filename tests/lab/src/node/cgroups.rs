//! A node's cgroups: one group in each hierarchy, below which all of its Pods' groups are.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// The beginning of a group's name; the process ID of its maker follows.
const PREFIX: &str = "acr-lab-node-";

/// How long the kernel may take to let go of what was killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often to try again: the kernel does not announce it.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// Controllers that containers need of the second version.
const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    /// `cgroup` or `cgroup2`.
    kind: &'static str,
    /// The controllers of the first version, as a mount names them.
    options: String,
}

/// The groups of one node; removed when dropped, with what is in them.
pub(super) struct Groups {
    name: String,
    hierarchies: Vec<Hierarchy>,
}

impl Groups {
    /// Makes a group in each hierarchy, after it removed those that dead processes left.
    pub(super) fn make(number: u16) -> anyhow::Result<Groups> {
        let hierarchies = hierarchies(&fs::read_to_string("/proc/self/mountinfo")?);
        if hierarchies.is_empty() {
            bail!("no cgroups are mounted on this machine");
        }
        for hierarchy in &hierarchies {
            sweep(&hierarchy.mount);
        }
        let groups = Groups { name: format!("{PREFIX}{}-{number}", std::process::id()), hierarchies };
        for hierarchy in &groups.hierarchies {
            groups
                .make_in(hierarchy)
                .with_context(|| format!("no group in {}", hierarchy.mount.display()))?;
        }
        Ok(groups)
    }

    fn make_in(&self, hierarchy: &Hierarchy) -> anyhow::Result<()> {
        let dir = hierarchy.mount.join(&self.name);
        if hierarchy.kind == "cgroup2" {
            let available = fs::read_to_string(hierarchy.mount.join("cgroup.controllers"))?;
            for controller in available.split_whitespace() {
                // One that is passed on already, or that cannot be, is seen below.
                let _ = fs::write(hierarchy.mount.join("cgroup.subtree_control"), format!("+{controller}"));
            }
            fs::create_dir(&dir)?;
            let passed_on = fs::read_to_string(dir.join("cgroup.controllers"))?;
            let lacks =
                NEEDED.into_iter().find(|need| !passed_on.split_whitespace().any(|found| found == *need));
            if let Some(controller) = lacks {
                bail!("the controller {controller} is not passed on to it");
            }
            return Ok(());
        }
        fs::create_dir(&dir)?;
        // Without these no process may join.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if dir.join(file).exists() {
                fs::write(dir.join(file), fs::read(hierarchy.mount.join(file))?)?;
            }
        }
        Ok(())
    }

    /// Returns the name that the groups have in each hierarchy.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the hierarchies for the node's first process, one a line: mount, kind, options.
    pub(super) fn table(&self) -> String {
        let line =
            |found: &Hierarchy| format!("{} {} {}\n", found.mount.display(), found.kind, found.options);
        self.hierarchies.iter().map(line).collect()
    }

    pub(super) fn dirs(&self) -> Vec<PathBuf> {
        self.hierarchies.iter().map(|found| found.mount.join(&self.name)).collect()
    }

    /// Returns the files that take a process that joins the node.
    pub(super) fn procs(&self) -> Vec<PathBuf> {
        let file = |found: &Hierarchy| {
            let group = found.mount.join(&self.name);
            let group = if found.kind == "cgroup2" { group.join("init") } else { group };
            group.join("cgroup.procs")
        };
        self.hierarchies.iter().map(file).collect()
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for hierarchy in &self.hierarchies {
            remove(&hierarchy.mount.join(&self.name));
        }
    }
}

/// Returns the hierarchies in which processes are limited. Beside the first version, one of the second may be
/// mounted that has no controllers.
fn hierarchies(mounts: &str) -> Vec<Hierarchy> {
    let mut first = Vec::new();
    let mut second = Vec::new();
    for line in mounts.lines() {
        // Optional fields precede the dash.
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let Some(mount) = before.split(' ').nth(4).map(PathBuf::from) else { continue };
        let mut after = after.split(' ');
        match (after.next(), after.next_back()) {
            (Some("cgroup"), Some(options)) => {
                let flag = |option: &&str| {
                    !["rw", "ro", "xattr", "clone_children", "cpuset_v2_mode"].contains(option)
                        && !option.starts_with("release_agent=")
                };
                let options: Vec<&str> = options.split(',').filter(flag).collect();
                first.push(Hierarchy { mount, kind: "cgroup", options: options.join(",") });
            }
            (Some("cgroup2"), _) => second.push(Hierarchy { mount, kind: "cgroup2", options: String::new() }),
            _ => {}
        }
    }
    if first.is_empty() { second } else { first }
}

/// Removes the groups that dead processes left.
fn sweep(mount: &Path) {
    let Ok(entries) = fs::read_dir(mount) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
        let maker = maker.and_then(|(maker, _)| maker.parse::<u32>().ok());
        if maker.is_some_and(|maker| !Path::new(&format!("/proc/{maker}")).exists()) {
            remove(&entry.path());
        }
    }
}

/// Removes a group and those in it, and kills what is in them.
fn remove(dir: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while dir.exists() && !removed(dir) && Instant::now() < deadline {
        std::thread::sleep(POLL_EVERY);
    }
}

fn removed(dir: &Path) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return !dir.exists() };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            removed(&entry.path());
        }
    }
    for process in fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines() {
        if let Some(pid) = process.parse().ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    fs::remove_dir(dir).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "\
31 1 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
36 31 0:33 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd
";
    const SECOND: &str = "37 31 0:34 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";

    fn found(mounts: &str) -> Vec<String> {
        let shown = |h: Hierarchy| format!("{} {} {}", h.mount.display(), h.kind, h.options);
        hierarchies(mounts).into_iter().map(shown).collect()
    }

    #[test]
    fn a_mount_is_repeated_with_its_controllers() {
        let first =
            ["/sys/fs/cgroup/cpu,cpuacct cgroup cpu,cpuacct", "/sys/fs/cgroup/systemd cgroup name=systemd"];
        assert_eq!(found(&format!("{FIRST}{SECOND}")), first);
        assert_eq!(found(SECOND), ["/sys/fs/cgroup/unified cgroup2 "]);
        assert!(found("").is_empty());
    }

    #[test]
    fn only_groups_of_dead_makers_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let group = |name: String| {
            fs::create_dir_all(dir.path().join(&name).join("k8s.io/container")).unwrap();
            dir.path().join(name)
        };
        // The largest process ID of Linux is below this one.
        let dead = group(format!("{PREFIX}4194305-7"));
        let kept = [group(format!("{PREFIX}{}-7", std::process::id())), group("docker".to_owned())];
        sweep(dir.path());
        assert!(!dead.exists() && kept.iter().all(|dir| dir.join("k8s.io/container").exists()));
    }
}
