//! skopeo, the client that pushes and pulls.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow};
use serde_json::Value;

use crate::{
    certificates::write_private,
    process::{Program, Scratch},
};

/// More than enough for a few small blobs on loopback.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The beginnings of skopeo's messages when a registry or its token service refuses a client.
const REFUSALS: [&str; 2] = ["unauthorized: ", "denied: "];

/// A completely pulled image: its manifest, and each blob that the manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The digest of the image's configuration.
    pub config: String,
    /// The digests of the image's layers.
    pub layers: Vec<String>,
}

/// The reason of a failed pull.
#[derive(Debug)]
pub enum PullError {
    /// The registry, or its token service, refused the client; the message is skopeo's.
    Refused(String),
    /// Any other failure, such as an image that does not exist.
    Failed(anyhow::Error),
}

impl fmt::Display for PullError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PullError::Refused(said) => write!(formatter, "the pull was refused: {said}"),
            PullError::Failed(error) => write!(formatter, "the pull failed: {error:#}"),
        }
    }
}

impl std::error::Error for PullError {}

impl From<anyhow::Error> for PullError {
    fn from(error: anyhow::Error) -> PullError {
        PullError::Failed(error)
    }
}

/// One use of skopeo, in a directory of its own. It reads neither the machine's registry logins under `$HOME`
/// or `/run` nor any cache, and leaves nothing behind.
pub(super) struct Skopeo<'a> {
    dir: Scratch,
    certificates: &'a Path,
}

/// The outcome of a transfer that did not fail for the lab's own reasons.
enum Ended {
    Done,
    Not(String),
}

impl Skopeo<'_> {
    /// Prepares a use. `certificates` is a directory that holds the trusted authority's certificate as
    /// `ca.crt`.
    pub(super) fn new(certificates: &Path) -> anyhow::Result<Skopeo<'_>> {
        Ok(Skopeo { dir: Scratch::new("acr-lab-skopeo-")?, certificates })
    }

    /// Returns a directory for an image's files.
    pub(super) fn image_dir(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// Pushes the OCI layout of the image directory to `image` (`host:port/repository:tag`).
    pub(super) async fn push(&self, auth_file: &str, image: &str) -> anyhow::Result<()> {
        let from = format!("oci:{}:latest", self.image_dir().display());
        match self.copy("dest", auth_file.as_bytes(), &from, &format!("docker://{image}")).await? {
            Ended::Done => Ok(()),
            Ended::Not(said) => Err(anyhow!("the push failed: {said}")),
        }
    }

    /// Pulls an image with the content of an auth file, and nothing else.
    pub(super) async fn pull(&self, auth_file: &[u8], image: &str) -> Result<Pulled, PullError> {
        let to = format!("dir:{}", self.image_dir().display());
        match self.copy("src", auth_file, &format!("docker://{image}"), &to).await? {
            Ended::Done => Ok(pulled(&self.image_dir())?),
            Ended::Not(said) if REFUSALS.iter().any(|refusal| said.contains(refusal)) => {
                Err(PullError::Refused(said))
            }
            Ended::Not(said) => Err(PullError::Failed(anyhow!("{said}"))),
        }
    }

    async fn copy(&self, side: &str, auth_file: &[u8], from: &str, to: &str) -> anyhow::Result<Ended> {
        let dir = self.dir.path();
        let auth_path = dir.join("auth.json");
        write_private(&auth_path, "")?;
        std::fs::write(&auth_path, auth_file)?;
        let mut program = Program::new("skopeo", dir.join("skopeo.log"));
        for variable in
            ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "DOCKER_CONFIG", "TMPDIR"]
        {
            program = program.env(variable, dir);
        }
        let child = program
            // This setting keeps root's cache under `$HOME` too.
            .env("_CONTAINERS_ROOTLESS_UID", "1")
            .env_remove("REGISTRY_AUTH_FILE")
            // The machine's policy may be absent, or may demand signatures.
            .args(["--insecure-policy", "copy"])
            .arg(format!("--{side}-cert-dir={}", self.certificates.display()))
            .arg(format!("--{side}-authfile={}", auth_path.display()))
            .args([from, to])
            .start()?;
        let status = child.wait(TIMEOUT).await.with_context(|| child.log_tail(20))?;
        Ok(if status.success() { Ended::Done } else { Ended::Not(child.log_text()) })
    }
}

/// Reads a `dir:` layout.
fn pulled(dir: &Path) -> anyhow::Result<Pulled> {
    let manifest = std::fs::read(dir.join("manifest.json")).context("the manifest is missing")?;
    let manifest: Value = serde_json::from_slice(&manifest)?;
    let digest = |blob: &Value| -> anyhow::Result<String> {
        let digest = blob["digest"].as_str().context("the manifest names no digest")?;
        let file = dir.join(digest.trim_start_matches("sha256:"));
        anyhow::ensure!(file.is_file(), "{digest} is missing");
        Ok(digest.to_owned())
    };
    let layers = manifest["layers"].as_array().context("the manifest names no layers")?;
    Ok(Pulled {
        config: digest(&manifest["config"])?,
        layers: layers.iter().map(digest).collect::<anyhow::Result<_>>()?,
    })
}
