//! kubectl of the plane's own release, as a user would run it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, bail};

use super::Plane;

/// The output of a command, and its exit status.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Its exit status.
    pub status: std::process::ExitStatus,
}

impl Plane {
    /// Returns the path of kubectl, for readers who type commands of their own.
    pub fn kubectl_path(&self) -> PathBuf {
        self.binaries.path("kubectl")
    }

    /// Runs kubectl as cluster administrator, and returns its output even if it fails.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<Output> {
        self.kubectl_as(self.kubeconfig(), args).await
    }

    /// Runs kubectl with the given kubeconfig.
    pub async fn kubectl_as(&self, kubeconfig: &Path, args: &[&str]) -> anyhow::Result<Output> {
        let output = tokio::process::Command::new(self.kubectl_path())
            .args(args)
            .env("KUBECONFIG", kubeconfig)
            // kubectl must neither read nor fill the user's own settings and cache.
            .env("HOME", self.dir())
            .env("KUBECACHEDIR", self.dir().join("kubectl-cache"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("kubectl did not start")?;
        Ok(Output {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: output.status,
        })
    }

    /// Runs kubectl as cluster administrator and returns its standard output; fails with its standard error.
    pub async fn kubectl_ok(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.kubectl(args).await?;
        if !output.status.success() {
            bail!("kubectl {} ended with {}: {}", args.join(" "), output.status, output.stderr.trim_end());
        }
        Ok(output.stdout)
    }

    /// Applies a file, or every file of a directory, as a server-side apply.
    pub async fn apply_file(&self, path: impl AsRef<Path>) -> anyhow::Result<String> {
        let path = path.as_ref().to_str().context("the path is not UTF-8")?;
        self.kubectl_ok(&["apply", "--server-side", "-f", path]).await
    }

    /// Applies manifests given as text.
    pub async fn apply(&self, manifests: &str) -> anyhow::Result<String> {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile_in(self.dir())?;
        tokio::fs::write(file.path(), manifests).await?;
        self.apply_file(file.path()).await
    }
}
