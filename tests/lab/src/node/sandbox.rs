//! The namespaces of a node. They end with their first process, and it ends with the process that made them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use anyhow::{Context, bail};

use super::{cgroups::Groups, network::Pair, programs::Programs};
use crate::{
    plane::until,
    process::{Child, Program, Scratch},
};

const INIT: &str = include_str!("init.sh");

/// Joins the groups that are listed up to `--`, then the namespaces of a process, and becomes a program there.
const ENTER: &str = r#"
init=$1
shift
while [ "$1" != -- ]; do
  echo $$ >"$1"
  shift
done
shift
exec nsenter --target "$init" --net --mount --pid --cgroup -- "$@"
"#;

/// The longest time for a command inside.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The namespaces and what belongs to them; everything in them ends when this is dropped.
pub(super) struct Sandbox {
    // Fields drop in this order: the groups after what runs in them, the directory last.
    pair: Pair,
    holder: Child,
    groups: Groups,
    init: u32,
    dir: Scratch,
}

impl Sandbox {
    /// Makes the namespaces, with an interface, mounts and groups of their own.
    pub(super) async fn start() -> anyhow::Result<Sandbox> {
        static NUMBER: AtomicU16 = AtomicU16::new(0);
        let groups = Groups::make(NUMBER.fetch_add(1, Ordering::Relaxed))?;
        let dir = Scratch::new("acr-lab-node-")?;
        let file = |name: &str| dir.path().join(name);
        for (name, text) in
            [("init.sh", INIT), ("cgroups", groups.table().as_str()), ("hosts", ""), ("resolv.conf", "")]
        {
            fs::write(file(name), text)?;
        }
        let holder = Program::new("unshare", file("namespaces.log"))
            .args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child=KILL", "sh"])
            .arg(file("init.sh"))
            .arg(dir.path())
            .arg(groups.name())
            .start()?;
        until(&holder, || async { first_child(holder.pid()).is_some() }).await?;
        let init = first_child(holder.pid()).context("the node's first process is gone")?;
        let pair = Pair::claim(init)?;
        let network = format!("{}/24 {}\n", pair.subnet().node(), pair.subnet().host(0));
        // In one step, since it is read as soon as it is there.
        fs::write(file("network.new"), network)?;
        fs::rename(file("network.new"), file("network"))?;
        let ready = file("ready");
        until(&holder, || async { ready.exists() }).await?;
        Ok(Sandbox { pair, holder, groups, init, dir })
    }

    /// Returns the directory that is seen inside and outside.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Returns the process that ends them all.
    pub(super) fn holder(&self) -> &Child {
        &self.holder
    }

    pub(super) fn groups(&self) -> Vec<PathBuf> {
        self.groups.dirs()
    }

    /// Returns a program that runs inside, with the node's own programs in its PATH.
    pub(super) fn program(&self, program: &Path, programs: &Programs) -> Program {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        Program::new("sh", self.dir().join(format!("{name}.log")))
            .named(&name)
            .args(["-c", ENTER, "enter"])
            .arg(self.init.to_string())
            .args(self.groups.procs())
            .arg("--")
            .arg(program)
            .env("PATH", programs.path())
    }

    /// Runs a program inside to its end, and returns its output.
    pub(super) async fn run(&self, program: Program) -> anyhow::Result<String> {
        let child = program.start()?;
        let status = child.wait(TIMEOUT).await.with_context(|| child.log_tail(20))?;
        if !status.success() {
            bail!("{} ended with {status}: {}", child.name(), child.log_tail(20));
        }
        Ok(child.log_text())
    }
}

fn first_child(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
