//! The programs of the control plane and of a node: found, or built once from their Go modules and kept.
//!
//! Kubernetes publishes no binaries that an ordinary package registry carries, but its modules are there, so a
//! machine with Go needs nothing else. The result is kept outside the checkout, by the contents of the module
//! that describes it: a second checkout builds nothing, and a new release never meets an old binary.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use crate::process::{Child, Program, keep_at_end, remove_at_end};

/// The programs that are built for each release. etcd and kubectl are always those of the newest.
const OF_RELEASE: [&str; 2] = ["kube-controller-manager", "kube-apiserver"];

const NAMES: [&str; 4] = ["etcd", "kubectl", OF_RELEASE[0], OF_RELEASE[1]];

/// What a cluster with a node runs besides. A folder of one's own need not have them.
const NODE_NAMES: [&str; 3] = ["kubelet", "kube-scheduler", "kube-proxy"];

/// How often a long build reports progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// A release of Kubernetes that a plane runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Release {
    /// The newest, of `tests/lab/kubernetes`.
    #[default]
    Newest,
    /// The oldest that is tested, of `tests/lab/kubernetes-1.34`.
    Oldest,
}

impl Release {
    fn folder(self) -> &'static str {
        match self {
            Release::Newest => "kubernetes",
            Release::Oldest => "kubernetes-1.34",
        }
    }

    /// Returns the names of all programs that are built for it.
    fn names(self) -> impl Iterator<Item = &'static str> {
        let (plane, node): (&[_], &[_]) = match self {
            Release::Newest => (&NAMES, &NODE_NAMES),
            Release::Oldest => (&OF_RELEASE, &[]),
        };
        plane.iter().chain(node).copied()
    }

    /// Returns whether its programs are on this machine, so that a plane of it starts without a build of minutes.
    pub fn is_built(self) -> anyhow::Result<bool> {
        Ok(Binaries::kept(&Source::read(self)?)?.missing(self.names()).is_empty())
    }
}

/// The directories of the programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    dir: PathBuf,
    /// Where the others are, if the first has not all.
    others: Option<PathBuf>,
}

impl Binaries {
    /// Returns the programs of a release, built now if need be. Those of the newest are taken from
    /// `KUBEBUILDER_ASSETS` if it is set.
    ///
    /// Blocks for minutes when it builds, and reports progress on standard error.
    pub fn find(release: Release) -> anyhow::Result<Binaries> {
        match (release, env::var_os("KUBEBUILDER_ASSETS")) {
            (Release::Newest, Some(dir)) if !dir.is_empty() => assets(PathBuf::from(dir)),
            (Release::Newest, _) => built(&Source::read(release)?),
            (Release::Oldest, _) => {
                let others = Binaries::find(Release::Newest)?;
                Ok(Binaries { others: Some(others.dir), ..built(&Source::read(release)?)? })
            }
        }
    }

    /// Returns the path of one of the programs.
    pub fn path(&self, name: &str) -> PathBuf {
        let path = self.dir.join(name);
        match &self.others {
            Some(others) if !path.is_file() => others.join(name),
            _ => path,
        }
    }

    fn kept(source: &Source) -> anyhow::Result<Binaries> {
        Ok(Binaries { dir: cache_root()?.join(source.cache_name()), others: None })
    }

    /// Returns the programs of a node that a folder given by `KUBEBUILDER_ASSETS` lacks. Those that are built are
    /// complete, so nothing is built to find out.
    pub(crate) fn missing_for_a_node() -> Option<String> {
        let dir = PathBuf::from(env::var_os("KUBEBUILDER_ASSETS").filter(|dir| !dir.is_empty())?);
        let missing = Binaries { dir, others: None }.missing(NODE_NAMES);
        (!missing.is_empty()).then(|| {
            format!("not in KUBEBUILDER_ASSETS: {}; unset it to have them built", missing.join(", "))
        })
    }

    /// Returns the folder of the Go module that describes a release's programs.
    pub(crate) fn module(release: Release) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(release.folder())
    }

    fn missing(&self, names: impl IntoIterator<Item = &'static str>) -> Vec<&'static str> {
        names.into_iter().filter(|name| !self.path(name).is_file()).collect()
    }
}

fn assets(dir: PathBuf) -> anyhow::Result<Binaries> {
    let binaries = Binaries { dir, others: None };
    let missing = binaries.missing(NAMES);
    if missing.is_empty() {
        return Ok(binaries);
    }
    // envtest's archives have an API server, etcd and kubectl only.
    let why = if missing.contains(&"kube-controller-manager") {
        "; the envtest archives carry no kube-controller-manager, which this lab needs for ServiceAccounts, \
         namespaces and garbage collection"
    } else {
        ""
    };
    bail!(
        "KUBEBUILDER_ASSETS is {}, where {} is missing{why}. Put it there, or unset KUBEBUILDER_ASSETS to have \
         all of them built from Go modules",
        binaries.dir.display(),
        missing.join(", "),
    )
}

/// The Go module that describes the programs.
struct Source {
    release: Release,
    dir: PathBuf,
    version: String,
    digest: String,
}

impl Source {
    fn read(release: Release) -> anyhow::Result<Source> {
        let dir = Binaries::module(release);
        let read = |file: &str| {
            let path = dir.join(file);
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let go_mod = read("go.mod")?;
        let version = String::from_utf8_lossy(&go_mod)
            .lines()
            .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v").map(str::to_owned))
            .context("go.mod requires no k8s.io/kubernetes")?;
        let mut digest = Sha256::new();
        digest.update(&go_mod);
        digest.update(read("go.sum")?);
        for name in release.names() {
            digest.update(read(&format!("cmd/{name}/main.go"))?);
        }
        let digest = digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Ok(Source { release, dir, version, digest })
    }

    fn cache_name(&self) -> String {
        format!("kubernetes-{}-{}-{}-{}", self.version, self.digest, env::consts::OS, env::consts::ARCH)
    }

    /// Returns the linker flags with the release, as the programs report it. Without it kubectl cannot read
    /// the server's version, and the API server does not know which release's features it has.
    fn link_flags(&self) -> String {
        let mut parts = self.version.split('.');
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let version = "k8s.io/component-base/version";
        format!(
            "-s -w -X {version}.gitVersion=v{} -X {version}.gitMajor={major} -X {version}.gitMinor={minor} \
             -X {version}.gitTreeState=clean",
            self.version
        )
    }
}

/// Returns the directory in which the lab keeps what it built or unpacked.
pub(crate) fn cache_root() -> anyhow::Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value: &OsString| !value.is_empty()).map(PathBuf::from);
    let root = set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set: the lab's programs cannot be kept anywhere")?;
    Ok(root.join("acr-credential-binding"))
}

/// Returns a folder of the cache, filled now unless it is complete. A reader sees all of it or nothing, and of several
/// processes one fills it while the others wait. `what` completes "another process that builds …".
pub(crate) fn keep(
    name: &str,
    what: &str,
    complete: impl Fn(&Path) -> bool,
    fill: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let root = cache_root()?;
    let kept = root.join(name);
    if complete(&kept) {
        return Ok(kept);
    }
    fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
    let lock = File::create(root.join(format!("{name}.lock")))?;
    if lock.try_lock().is_err() {
        say(&format!("Waiting for another process that builds {what}."));
        lock.lock()?;
    }
    // Another process may have filled it while it held the lock.
    if !complete(&kept) {
        let building = tempfile::Builder::new().prefix(".building-").tempdir_in(&root)?;
        remove_at_end(building.path())?;
        fill(building.path())?;
        if kept.exists() {
            fs::remove_dir_all(&kept)?;
        }
        let dir = building.keep();
        fs::rename(&dir, &kept)?;
        keep_at_end(&dir)?;
    }
    Ok(kept)
}

/// Waits until a build ends, and reports progress on standard error meanwhile.
pub(crate) fn until_built(child: &Child) -> ExitStatus {
    let started = Instant::now();
    let mut next_word = started + PROGRESS_EVERY;
    loop {
        if let Some(status) = child.exit_status() {
            return status;
        }
        if Instant::now() >= next_word {
            say(&format!("  {} s …", started.elapsed().as_secs()));
            next_word += PROGRESS_EVERY;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn built(source: &Source) -> anyhow::Result<Binaries> {
    let missing = |dir: &Path| Binaries { dir: dir.to_owned(), others: None }.missing(source.release.names());
    let complete = |dir: &Path| missing(dir).is_empty();
    let dir = keep(&source.cache_name(), "the control plane", complete, |into| build(source, into))?;
    Ok(Binaries { dir, others: None })
}

fn build(source: &Source, into: &Path) -> anyhow::Result<()> {
    let Some(go) = find_in_path("go") else {
        bail!(
            "there is no `go` in PATH, and the control plane is built with it. Install Go (see the `go` line of \
             tests/lab/kubernetes/go.mod for the version), or set KUBEBUILDER_ASSETS to a directory that has {}",
            NAMES.join(", "),
        );
    };
    say(&format!(
        "Building the control plane, Kubernetes {}: about 10 minutes on two cores, and only once.",
        source.version
    ));
    let started = Instant::now();
    let log = into.join("build.log");
    // All at once: while one is linked, which takes one core, the next is compiled. The binaries omit
    // debug information, which costs a fifth of the time.
    let child = Program::new(&go, &log)
        .args(["build", "-trimpath", "-mod=readonly", "-gcflags=all=-dwarf=false", "-ldflags"])
        .arg(source.link_flags())
        .arg("-o")
        .arg(into.join(""))
        .args(source.release.names().map(|name| format!("./cmd/{name}")))
        .current_dir(&source.dir)
        .start()?;
    let status = until_built(&child);
    if !status.success() {
        bail!("`go build` of the control plane ended with {status}:\n{}", child.log_tail(20));
    }
    fs::remove_file(&log)?;
    say(&format!("The control plane is built, in {} s.", started.elapsed().as_secs()));
    Ok(())
}

/// Returns a program of the PATH.
pub(crate) fn find_in_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

#[allow(clippy::print_stderr, reason = "a silent build of minutes looks like a hang")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envtest_assets_without_a_controller_manager_are_refused_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["etcd", "kubectl", "kube-apiserver"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let error = assets(dir.path().to_owned()).unwrap_err().to_string();
        assert!(error.contains("kube-controller-manager is missing"), "{error}");
        assert!(error.contains("unset KUBEBUILDER_ASSETS"), "{error}");
        fs::write(dir.path().join("kube-controller-manager"), "").unwrap();
        assets(dir.path().to_owned()).unwrap();
    }

    #[test]
    fn the_release_comes_from_the_module_alone() {
        for (release, version) in [(Release::Newest, "1.37."), (Release::Oldest, "1.34.")] {
            let source = Source::read(release).unwrap();
            assert!(source.version.starts_with(version), "{}", source.version);
            assert!(source.link_flags().contains(&format!("gitVersion=v{}", source.version)));
        }
    }
}
