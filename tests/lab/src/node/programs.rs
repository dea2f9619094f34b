//! containerd, runc, CNI plugins and a C library, from Debian's packages, and the two programs that Pods run.
//!
//! The packages are unpacked into the lab's cache and not installed: no daemon starts, and a machine's own containerd
//! or Docker stays as it is. They are kept by their versions, as the control plane's programs are.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use crate::{
    plane::{Binaries, Release, find_in_path, keep, say},
    registry::image,
};

const PACKAGES: [&str; 6] =
    ["containerd", "runc", "containernetworking-plugins", "musl", "musl-dev", "musl-tools"];

/// The tools that fetch and unpack them.
const TOOLS: [&str; 3] = ["apt-get", "apt-cache", "dpkg"];

/// What a Pod of the tests runs.
const POD_PROGRAM: &str = include_str!("pod.c");

/// The name of the image in which a Pod's namespaces wait.
pub(super) const PAUSE_IMAGE: &str = "registry.k8s.io/pause:lab";

/// The programs of a node in the lab's cache.
#[derive(Debug, Clone)]
pub struct Programs {
    dir: PathBuf,
}

/// Returns the tool without which the packages cannot be unpacked, unless they are already.
pub(super) fn missing() -> Option<String> {
    let missing: Vec<&str> = TOOLS.into_iter().filter(|tool| find_in_path(tool).is_none()).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "not installed: {}, with which containerd is unpacked from Debian's packages",
            missing.join(", ")
        )
    })
}

impl Programs {
    /// Returns the programs, unpacked and built now if need be. Blocks for seconds then.
    pub fn find(binaries: &Binaries) -> anyhow::Result<Programs> {
        let pause = pause_source(binaries)?;
        let name = format!("node-{}-{}", std::env::consts::ARCH, key(&pause)?);
        let dir = keep(&name, "the node's programs", Path::is_dir, |into| {
            say("Unpacking containerd, runc and CNI plugins from Debian's packages, once.");
            Programs { dir: into.to_owned() }.fill(&pause)
        })?;
        Ok(Programs { dir })
    }

    fn fill(&self, pause: &Path) -> anyhow::Result<()> {
        let packages = self.dir.join("packages");
        fs::create_dir(&packages)?;
        // By itself it would download as another user, who may not write here.
        let download = ["-q", "-o", "APT::Sandbox::User=root", "download"];
        run(Command::new("apt-get").args(download).args(PACKAGES).current_dir(&packages))?;
        for package in fs::read_dir(&packages)? {
            run(Command::new("dpkg").arg("-x").arg(package?.path()).arg(&self.dir))?;
        }
        fs::remove_dir_all(&packages)?;
        fs::write(self.dir.join("pod.c"), POD_PROGRAM)?;
        self.compile(pause, &self.dir.join("pause"))?;
        self.compile(&self.dir.join("pod.c"), &self.pod())?;
        self.archive_pause_image()
    }

    /// Compiles a static program. The compiler's description of musl names the folders of an installed package.
    fn compile(&self, source: &Path, into: &Path) -> anyhow::Result<()> {
        let library = format!("usr/lib/{}-linux-musl", std::env::consts::ARCH);
        let specs = self.dir.join(&library).join("musl-gcc.specs");
        let here = self.dir.join("usr").display().to_string();
        let text = fs::read_to_string(&specs)?.replace(" /usr/", &format!(" {here}/"));
        let text = text.replace("-L/usr/", &format!("-L{here}/"));
        let own = self.dir.join("musl.specs");
        fs::write(&own, text)?;
        run(Command::new("gcc")
            .arg("-specs")
            .arg(own)
            .args(["-static", "-Os", "-s", "-o"])
            .arg(into)
            .arg(source))
    }

    fn archive_pause_image(&self) -> anyhow::Result<()> {
        let layout = self.dir.join("pause-image");
        image::write(&layout, Some(&fs::read(self.dir.join("pause"))?))?;
        // The name under which containerd imports it.
        let index = layout.join("index.json");
        let mut text: serde_json::Value = serde_json::from_slice(&fs::read(&index)?)?;
        text["manifests"][0]["annotations"]["io.containerd.image.name"] = PAUSE_IMAGE.into();
        fs::write(&index, text.to_string())?;
        run(Command::new("tar").arg("-cf").arg(self.pause_archive()).arg("-C").arg(&layout).arg("."))
    }

    /// Returns the program that a Pod of the tests runs: it waits, or it connects to a name.
    pub fn pod(&self) -> PathBuf {
        self.dir.join("pod")
    }

    pub(super) fn pause_archive(&self) -> PathBuf {
        self.dir.join("pause.tar")
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        let folder = if name == "runc" { "usr/sbin" } else { "usr/bin" };
        self.dir.join(folder).join(name)
    }

    pub(super) fn cni_plugins(&self) -> PathBuf {
        self.dir.join("usr/lib/cni")
    }

    /// Returns a PATH that leads to them first.
    pub(super) fn path(&self) -> String {
        let own = ["usr/bin", "usr/sbin"].map(|folder| self.dir.join(folder).display().to_string());
        format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", own.join(":"))
    }
}

/// Returns the digest of what the programs are made of.
fn key(pause: &Path) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    digest.update(POD_PROGRAM);
    digest.update(fs::read(pause)?);
    digest.update(include_str!("programs.rs"));
    for package in PACKAGES {
        let shown = output(Command::new("apt-cache").args(["policy", package]))?;
        let candidate = shown.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
        let candidate = candidate.filter(|version| *version != "(none)");
        let candidate = candidate
            .with_context(|| format!("Debian's package {package} is not known here: run apt-get update"))?;
        digest.update(format!("{package} {candidate}\n"));
    }
    Ok(digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

/// Returns the source of Kubernetes' own pause program, which its Go module carries.
fn pause_source(binaries: &Binaries) -> anyhow::Result<PathBuf> {
    let mut list = Command::new("go");
    list.args(["list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"])
        .current_dir(Binaries::module(Release::Newest));
    let dir = output(&mut list).context("the Go module of Kubernetes is not found")?;
    let source = Path::new(dir.trim()).join("build/pause/linux/pause.c");
    if !source.is_file() {
        bail!("{} is missing beside {}", source.display(), binaries.path("kubelet").display());
    }
    Ok(source)
}

pub(super) fn run(command: &mut Command) -> anyhow::Result<()> {
    output(command).map(drop)
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = Path::new(command.get_program()).file_name().unwrap_or(OsStr::new("")).to_owned();
    let output = command.output().with_context(|| format!("{} did not start", name.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {}", name.display(), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
