//! The controller's image: built by the release's own scripts, pushed to a [`Registry`], pulled as a client
//! pulls it, and run by a real container runtime.
//!
//! ```text
//! deploy/release/binaries -> dist/ -> deploy/release/image: buildah -> deploy/release/push -> registry
//!                                      [Container]: runc <- [Unpacked]: skopeo, tar <-----------/
//! ```
//!
//! Guarantees: everything is in directories of its own, buildah's storage included, and nothing of it is left.
//! A container ends with the process that started it.

mod container;
mod names;
mod packages;
mod unpacked;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};

pub use self::{
    container::Container,
    names::CloudNames,
    packages::{missing, program_usable, usable},
    unpacked::{Platform, Unpacked},
};
use crate::{
    docs::root,
    process::{Program, Scratch},
    registry::Registry,
};

/// The longest wait for buildah and skopeo, which copy some tens of megabytes.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The longest wait for a build of all crates with all optimisations on a busy machine.
const BUILD_TIMEOUT: Duration = Duration::from_secs(4 * 3600);

/// The architectures that a release has.
pub const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

/// The name of the image in buildah's storage.
const NAME: &str = "localhost/acr-credential-controller:lab";

/// How the binaries of an image are made.
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    /// A profile of `Cargo.toml`.
    pub profile: String,
    /// Whether the C library of Debian's packages is used, also where a static binary could be built.
    pub with_glibc: bool,
    /// A folder with binaries that were built before, in place of a build.
    pub built: Option<PathBuf>,
    /// Cargo's target directory, if it is not the usual one.
    pub target_dir: Option<PathBuf>,
}

impl Recipe {
    /// Returns a recipe for a profile, static where this machine can build that.
    pub fn new(profile: &str) -> Recipe {
        Recipe { profile: profile.to_owned(), ..Recipe::default() }
    }
}

/// Returns the architecture of this machine, in the words of images.
pub fn own_architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// Returns how this machine builds binaries for an architecture: `musl`, `zig` or `glibc`.
///
/// # Errors
/// The architecture cannot be built here; the message names what is missing.
pub async fn way(arch: &str, with_glibc: bool) -> anyhow::Result<String> {
    let mut command = tokio::process::Command::new(script("way"));
    command.arg(arch).env_remove("WAY");
    if with_glibc {
        command.env("WAY", "glibc");
    }
    let output = command.output().await.context("deploy/release/way did not start")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The image in buildah's storage; removed when dropped.
pub struct Image {
    dir: Scratch,
    architectures: Vec<String>,
}

impl Image {
    /// Builds binaries for architectures, and the image of them.
    ///
    /// # Errors
    /// A script failed; its output is in the message.
    pub async fn build(recipe: &Recipe, architectures: &[&str]) -> anyhow::Result<Image> {
        let dir = Scratch::new("acr-lab-image-")?;
        let mut program = Program::new(script("binaries"), dir.path().join("binaries.log"))
            .args(architectures)
            .env("DIST", dir.path().join("dist"))
            .env("PROFILE", &recipe.profile);
        program = if recipe.with_glibc { program.env("WAY", "glibc") } else { program.env_remove("WAY") };
        program = match &recipe.built {
            Some(folder) => program.env("BUILT", folder),
            None => program.env_remove("BUILT"),
        };
        if let Some(target) = &recipe.target_dir {
            program = program.env("CARGO_TARGET_DIR", target);
        }
        ended(program, BUILD_TIMEOUT).await?;
        let image =
            Image { dir, architectures: architectures.iter().map(|arch| (*arch).to_owned()).collect() };
        image.assemble().await?;
        Ok(image)
    }

    /// Builds the image of the binaries again, in place of the last one.
    pub async fn assemble(&self) -> anyhow::Result<()> {
        let program = Program::new(script("image"), self.dir.path().join("image.log"))
            .arg(NAME)
            .args(&self.architectures);
        ended(self.with_storage(program), TIMEOUT).await.map(drop)
    }

    /// Returns the folder that becomes the image's root for an architecture.
    pub fn root(&self, arch: &str) -> PathBuf {
        self.dir.path().join("dist").join(arch)
    }

    /// Pushes all architectures as `<repository>:latest`, and returns the reference by which they can be
    /// pulled, which names the bytes: `<host>:<port>/<repository>@sha256:…`.
    pub async fn push(&self, registry: &Registry, repository: &str) -> anyhow::Result<String> {
        let login = self.dir.path().join("push.json");
        crate::certificates::write_private(&login, &registry.admin_config())?;
        let destination = format!("{}/{repository}:latest", registry.domain());
        let program = Program::new(script("push"), self.dir.path().join("push.log"))
            .args([NAME, &destination])
            .arg("--authfile")
            .arg(&login)
            .arg("--cert-dir")
            .arg(registry.certificates());
        let said = ended(self.with_storage(program), TIMEOUT).await?;
        let digest = said.lines().rev().find(|line| line.starts_with("sha256:"));
        Ok(format!("{}/{repository}@{}", registry.domain(), digest.context("the push printed no digest")?))
    }

    /// Directs a script to this image's own files and storage.
    fn with_storage(&self, program: Program) -> Program {
        let dir = self.dir.path().display();
        program
            .env("DIST", self.dir.path().join("dist"))
            .env("BUILDAH", storage(OsStr::new(&dir.to_string())))
    }
}

/// Returns buildah with a storage of its own below a directory, whose path has no spaces.
pub fn storage(dir: &OsStr) -> String {
    let dir = Path::new(dir).display();
    format!("buildah --root {dir}/storage --runroot {dir}/run --storage-driver vfs")
}

fn script(name: &str) -> PathBuf {
    root().join("deploy/release").join(name)
}

/// Runs a program to its end, and returns what it printed.
async fn ended(program: Program, timeout: Duration) -> anyhow::Result<String> {
    let child = program.start()?;
    let status = child.wait(timeout).await.with_context(|| child.log_tail(20))?;
    if !status.success() {
        bail!("{} ended with {status}:\n{}", child.name(), child.log_tail(30));
    }
    Ok(child.log_text())
}
