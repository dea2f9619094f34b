//! A container from an unpacked image, as a Pod that the namespace's Pod Security `restricted` admits: the
//! image's user, a root that cannot be written, no capability, no new privileges.
//!
//! runc runs it in the host's network, where the lab's parts are. It may write no control group, so it leaves
//! none. It is in a process namespace that ends with its starter, SIGKILL included.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::{packages::found, unpacked::Unpacked};
use crate::process::{Program, Scratch};

/// The longest wait for a program that prints something and ends.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Starts the container. The arguments of the process follow those of the script.
///
/// runc demands a control group's file system. With a read-only one, in the mount namespace of this script, it goes on
/// without a group if it takes itself for one without root.
const START: &str = r#"#!/bin/sh
set -e
dir=$(dirname "$0")
if [ "$1" != inside ]; then exec unshare --mount --pid --fork --kill-child --mount-proc "$0" inside "$@"; fi
shift
id=container-$(cat /proc/sys/kernel/random/uuid)
bundle=$dir/$id
mkdir "$bundle"
{ cat "$dir/before.json"; for argument in "$@"; do printf ',"%s"' "$argument"; done; cat "$dir/after.json"; } >"$bundle/config.json"
awk '$3 ~ /^cgroup/ { print $2 }' /proc/self/mounts | while read -r mount; do mount -o remount,bind,ro "$mount"; done
exec "$dir/runc" --rootless=true --root "$dir/state" run --bundle "$bundle" "$id"
"#;

/// What runs in a container.
pub struct Container {
    dir: Scratch,
}

impl Container {
    /// Prepares containers of an image. `program` is the first argument of each; none takes the image's
    /// entrypoint. `files` are seen at the path that is given with each, and `env` is the whole environment.
    pub fn new(
        image: &Unpacked,
        program: Option<&str>,
        files: &[(PathBuf, &str)],
        env: &[(&str, &str)],
    ) -> anyhow::Result<Container> {
        let dir = Scratch::new("acr-lab-container-")?;
        let entrypoint = image.entrypoint()?;
        let (uid, gid) = image.user()?;
        let mut mounts = vec![
            json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
            json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                    "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] }),
        ];
        for (source, destination) in files {
            mounts.push(json!({
                "destination": destination, "type": "bind", "source": source, "options": ["bind", "ro"],
            }));
        }
        let none: [&str; 0] = [];
        let env: Vec<String> = env.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let namespaces = ["mount", "pid", "ipc", "uts"].map(|kind| json!({ "type": kind }));
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": { "uid": uid, "gid": gid },
                "args": [MARK],
                "env": env,
                "cwd": "/",
                "noNewPrivileges": true,
                "capabilities": { "bounding": none, "effective": none, "inheritable": none,
                                  "permitted": none, "ambient": none },
            },
            "root": { "path": writable_copy(image, dir.path())?, "readonly": true },
            "mounts": mounts,
            "linux": { "namespaces": namespaces },
        });
        let text = config.to_string();
        let mark = Value::from(MARK).to_string();
        let (before, after) = text.split_once(&mark).context("the arguments are missing")?;
        let program = Value::from(program.unwrap_or(&entrypoint)).to_string();
        fs::write(dir.path().join("before.json"), format!("{before}{program}"))?;
        fs::write(dir.path().join("after.json"), after)?;
        std::os::unix::fs::symlink(runtime()?, dir.path().join("runc"))?;
        let start = dir.path().join("start");
        fs::write(&start, START)?;
        fs::set_permissions(&start, fs::Permissions::from_mode(0o755))?;
        Ok(Container { dir })
    }

    /// Returns a program that runs in the container what it is given as arguments, each time in a new one.
    /// Arguments must not need an escape in JSON.
    pub fn program(&self) -> PathBuf {
        self.dir.path().join("start")
    }

    /// Runs the program with arguments to its end, and returns its exit code and what it printed.
    pub async fn run(&self, args: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
        let log = self.dir.path().join(format!("run-{:016x}.log", fastrand::u64(..)));
        let child = Program::new(self.program(), log).args(args).start()?;
        let status = child.wait(TIMEOUT).await?;
        Ok((status.code(), child.log_text()))
    }
}

const MARK: &str = "the-arguments";

/// Copies the image's files: the runtime makes the folders and files that it mounts on.
fn writable_copy(image: &Unpacked, dir: &Path) -> anyhow::Result<PathBuf> {
    let root = dir.join("root");
    let status = Command::new("cp")
        .arg("-a")
        .args([image.root(), root.clone()])
        .status()
        .context("cp did not start")?;
    anyhow::ensure!(status.success(), "the image's files were not copied");
    Ok(root)
}

/// Returns runc: the machine's own, or that of Debian's package, which is unpacked and not installed. Docker's
/// packages and Debian's exclude each other.
pub(super) fn runtime() -> anyhow::Result<PathBuf> {
    if let Some(path) = found("runc") {
        return Ok(path);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let folder = cache.context("HOME is not set")?.join("acr-credential-binding/runc");
    let program = folder.join("usr/sbin/runc");
    if program.is_file() {
        return Ok(program);
    }
    let dir = Scratch::new("acr-lab-runc-")?;
    let unpack = "cd \"$0\" && apt-get download -qq runc && dpkg-deb -x runc_*.deb unpacked";
    let output = Command::new("sh").args(["-c", unpack]).arg(dir.path()).output()?;
    if !output.status.success() {
        bail!("not installed: runc; apt-get install -y runc");
    }
    // Another process may do the same at the same time: the first one's stays.
    fs::create_dir_all(folder.parent().context("the cache has no folder")?)?;
    let moved = Command::new("cp").arg("-aT").args([&dir.path().join("unpacked"), &folder]).status()?;
    anyhow::ensure!(moved.success() && program.is_file(), "runc was not unpacked to {}", folder.display());
    Ok(program)
}
