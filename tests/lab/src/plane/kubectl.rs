//! kubectl of the plane's own release: what a user would type.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, bail};

use super::Plane;

/// What a command printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How it ended.
    pub status: std::process::ExitStatus,
}

impl Plane {
    /// Returns the kubectl that is used, for one who types commands of their own.
    pub fn kubectl_path(&self) -> PathBuf {
        self.binaries.path("kubectl")
    }

    /// Runs kubectl as cluster administrator, whatever comes of it.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<Output> {
        self.kubectl_as(self.kubeconfig(), args).await
    }

    /// Runs kubectl with the given kubeconfig.
    pub async fn kubectl_as(&self, kubeconfig: &Path, args: &[&str]) -> anyhow::Result<Output> {
        let output = tokio::process::Command::new(self.kubectl_path())
            .args(args)
            .env("KUBECONFIG", kubeconfig)
            // Neither the user's own kubectl settings nor its cache are ours to read or fill.
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

    /// Runs kubectl as cluster administrator and gives its standard output; what it complained of is the error.
    pub async fn kubectl_ok(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.kubectl(args).await?;
        if !output.status.success() {
            bail!("kubectl {} ended with {}: {}", args.join(" "), output.status, output.stderr.trim_end());
        }
        Ok(output.stdout)
    }

    /// Applies a file, or every file of a directory, as a server-side apply.
    pub async fn apply_file(&self, path: impl AsRef<Path>) -> anyhow::Result<String> {
        let path = path.as_ref().to_str().context("a path that is no UTF-8")?;
        self.kubectl_ok(&["apply", "--server-side", "-f", path]).await
    }

    /// Applies manifests given as text.
    pub async fn apply(&self, manifests: &str) -> anyhow::Result<String> {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile_in(self.dir())?;
        tokio::fs::write(file.path(), manifests).await?;
        self.apply_file(file.path()).await
    }
}
