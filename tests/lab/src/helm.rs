//! Helm, as a user runs it: built once from its Go module, and kept beside the control plane's programs.
//!
//! Guarantees: it neither reads nor fills the user's own settings, plugins and repositories.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

use crate::{
    go_tool::GoTool,
    plane::{Output, Plane, find_in_path},
    process::Scratch,
};

/// The version that is built. The chart is tested with it.
pub const VERSION: &str = "4.3.2";

/// How it is built.
const HELM: GoTool = GoTool {
    name: "Helm",
    version: VERSION,
    packages: &["helm.sh/helm/v4/cmd/helm"],
    // Without it, it reports only its minor version.
    linker: "-X helm.sh/helm/v4/internal/version.version=v4.3.2",
    time: "5 minutes",
};

/// Returns the program `helm`, built now if need be. Where there is no Go, it is one of the PATH, of the same major
/// version.
///
/// # Errors
/// Neither Go nor Helm 4 is there, or the build failed; the message has its output.
pub async fn program() -> anyhow::Result<PathBuf> {
    tokio::task::spawn_blocking(find).await?
}

fn find() -> anyhow::Result<PathBuf> {
    match HELM.find()? {
        Some(dir) => Ok(dir.join("helm")),
        None => installed(find_in_path("helm")),
    }
}

fn installed(found: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let cure = format!("Install Go, with which Helm {VERSION} is built, or Helm 4");
    let Some(path) = found else { bail!("there is neither `go` nor `helm` in PATH. {cure}") };
    let output = Command::new(&path).args(["version", "--template={{.Version}}"]).output();
    let version = String::from_utf8_lossy(&output.context("helm did not start")?.stdout).into_owned();
    if !version.starts_with("v4.") {
        bail!("there is no `go` in PATH, and {} is version {version:?}. {cure}", path.display());
    }
    Ok(path)
}

/// Helm with settings of its own; they are removed when this is dropped.
pub struct Helm {
    program: PathBuf,
    kubeconfig: Option<PathBuf>,
    home: Scratch,
}

impl Helm {
    /// Returns Helm without a cluster, for what it does on this machine.
    ///
    /// # Errors
    /// As [`program`].
    pub async fn alone() -> anyhow::Result<Helm> {
        Ok(Helm { program: program().await?, kubeconfig: None, home: Scratch::new("acr-lab-helm-")? })
    }

    /// Returns Helm as the administrator of a plane.
    ///
    /// # Errors
    /// As [`program`].
    pub async fn of(plane: &Plane) -> anyhow::Result<Helm> {
        Helm::with(plane.kubeconfig()).await
    }

    /// Returns Helm with a kubeconfig.
    ///
    /// # Errors
    /// As [`program`].
    pub async fn with(kubeconfig: &Path) -> anyhow::Result<Helm> {
        Ok(Helm { kubeconfig: Some(kubeconfig.to_owned()), ..Helm::alone().await? })
    }

    /// Runs Helm, and returns its output even if it fails.
    ///
    /// # Errors
    /// It did not start.
    pub async fn run(&self, args: &[&str]) -> anyhow::Result<Output> {
        let home = self.home.path();
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(args)
            .env("HOME", home)
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"))
            // An absent file: Helm must never find a cluster that it was not given.
            .env("KUBECONFIG", self.kubeconfig.clone().unwrap_or_else(|| home.join("no-cluster")))
            .env_remove("HELM_NAMESPACE")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = command.output().await.context("helm did not start")?;
        Ok(Output {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: output.status,
        })
    }

    /// Runs Helm, and returns its standard output.
    ///
    /// # Errors
    /// It failed; the message has its standard error.
    pub async fn ok(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.run(args).await?;
        if !output.status.success() {
            bail!("helm {} ended with {}: {}", args.join(" "), output.status, output.stderr.trim_end());
        }
        Ok(output.stdout)
    }

    /// Returns a folder of its own, for files that it is given.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[tokio::test]
    async fn helm_reports_the_version_that_is_tested() {
        if find_in_path("go").is_some() {
            let said =
                Helm::alone().await.unwrap().ok(&["version", "--template={{.Version}}"]).await.unwrap();
            assert_eq!(said, format!("v{VERSION}"));
        }
    }

    #[test]
    fn without_go_only_helm_4_will_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("helm");
        let answers = |version: &str| {
            fs::write(&path, format!("#!/bin/sh\necho {version}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            installed(Some(path.clone()))
        };
        assert_eq!(answers("v4.1.0").unwrap(), dir.path().join("helm"));
        let error = answers("v3.19.0").unwrap_err().to_string();
        assert!(error.contains("v3.19.0") && error.contains("Install Go"), "{error}");
        let error = installed(None).unwrap_err().to_string();
        assert!(error.contains("neither `go` nor `helm`"), "{error}");
    }
}
