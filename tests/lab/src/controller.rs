//! The product's controller as a process of its own, as a cluster would run it: configured by flags,
//! environment and rights, and observed by what it answers, logs and writes.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::{
    cgroup::MemoryCgroup,
    plane::free_port,
    process::{Child, Program, Signal, lock},
};

/// How often to ask whether the controller is ready: it does not announce it.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// The longest wait for an answer on loopback.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How to start a controller.
#[derive(Debug, Clone)]
pub struct ControllerOptions {
    /// The program.
    pub binary: PathBuf,
    /// The kubeconfig that it uses: in the lab, that of its own ServiceAccount.
    pub kubeconfig: PathBuf,
    /// The address of every Alibaba API host and of the ECS metadata service.
    pub cloud_address: String,
    /// Whether API hosts are reached by HTTPS, as in production, and not at the cloud's address.
    pub by_https: bool,
    /// The cluster's region.
    pub region: String,
    /// The webhook's address; empty for none. Several controllers on one machine cannot share the default.
    pub webhook_address: String,
    /// Further flags.
    pub args: Vec<OsString>,
    /// Further environment variables.
    pub env: Vec<(OsString, OsString)>,
    /// Its log level, in env-filter syntax.
    pub log_level: String,
    /// `text` or `json`.
    pub log_format: String,
    /// The file that gets its log.
    pub log: PathBuf,
    /// The name of its Pod: the same after a restart. Two that run at the same time need two.
    pub pod: String,
    /// The control group that it starts in, if its memory is limited.
    pub cgroup: Option<Arc<MemoryCgroup>>,
}

impl ControllerOptions {
    /// Returns options for a controller in `cn-hangzhou` that logs to `controller.log` beside its kubeconfig.
    pub fn new(
        binary: impl Into<PathBuf>,
        kubeconfig: impl Into<PathBuf>,
        cloud_address: impl Into<String>,
    ) -> ControllerOptions {
        let kubeconfig = kubeconfig.into();
        ControllerOptions {
            binary: binary.into(),
            log: kubeconfig.with_file_name("controller.log"),
            kubeconfig,
            cloud_address: cloud_address.into(),
            by_https: false,
            region: "cn-hangzhou".to_owned(),
            webhook_address: String::new(),
            args: Vec::new(),
            env: Vec::new(),
            log_level: "info".to_owned(),
            log_format: "text".to_owned(),
            pod: "controller-0".to_owned(),
            cgroup: None,
        }
    }

    /// Adds a flag.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> ControllerOptions {
        self.args.push(arg.into());
        self
    }

    /// Serves the webhook at a port of loopback. The API server calls another address if one is given.
    #[must_use]
    pub fn webhook(mut self, port: u16, asked: Option<&str>) -> ControllerOptions {
        self.webhook_address = format!("127.0.0.1:{port}");
        let asked = asked.unwrap_or(&self.webhook_address);
        let url = format!("--webhook-url=https://{asked}/mutate");
        self.arg(url)
    }

    /// Reaches API hosts by HTTPS through a proxy, and trusts the certificates of a file besides the
    /// system's. Loopback addresses are reached directly.
    #[must_use]
    pub fn by_https(mut self, proxy: &str, ca_bundle: &Path) -> ControllerOptions {
        self.by_https = true;
        let ca_bundle = format!("--ca-bundle={}", ca_bundle.display());
        self.arg(ca_bundle).env("HTTPS_PROXY", proxy).env("NO_PROXY", "127.0.0.1,localhost")
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> ControllerOptions {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Logs to another file: two controllers on one plane need two.
    #[must_use]
    pub fn log(mut self, log: impl Into<PathBuf>) -> ControllerOptions {
        self.log = log.into();
        self
    }

    /// Runs as another Pod, with a log of its own.
    #[must_use]
    pub fn pod(self, name: &str) -> ControllerOptions {
        let log = self.log.with_file_name(format!("{name}.log"));
        ControllerOptions { pod: name.to_owned(), ..self.log(log) }
    }

    /// Limits its memory: it starts in this group, and so does each restart.
    #[must_use]
    pub fn within(self, cgroup: Arc<MemoryCgroup>) -> ControllerOptions {
        ControllerOptions { cgroup: Some(cgroup), ..self }
    }

    /// Logs at another level.
    #[must_use]
    pub fn log_level(mut self, level: impl Into<String>) -> ControllerOptions {
        self.log_level = level.into();
        self
    }
}

/// A controller, running or ended; killed when dropped.
pub struct Controller {
    options: ControllerOptions,
    port: u16,
    child: Mutex<Child>,
    http: reqwest::Client,
}

impl Controller {
    /// Starts a controller, without waiting for it to be ready.
    pub fn start(options: ControllerOptions) -> anyhow::Result<Controller> {
        let port = free_port()?;
        let child = spawn(&options, port)?;
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_TIMEOUT).build()?;
        Ok(Controller { options, port, child: Mutex::new(child), http })
    }

    /// Starts a controller and waits until it is ready.
    pub async fn start_ready(options: ControllerOptions, timeout: Duration) -> anyhow::Result<Controller> {
        let controller = Controller::start(options)?;
        controller.until_ready(timeout).await?;
        Ok(controller)
    }

    /// Returns the options that it was started with.
    pub fn options(&self) -> &ControllerOptions {
        &self.options
    }

    /// Returns its process ID, which changes at a restart.
    pub fn pid(&self) -> u32 {
        lock(&self.child).pid()
    }

    /// Returns whether it is still running.
    pub fn is_running(&self) -> bool {
        lock(&self.child).is_running()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        lock(&self.child).signal(signal)
    }

    /// Kills it (SIGKILL), and returns when it is gone.
    pub fn kill(&self) {
        lock(&self.child).kill();
    }

    /// Asks it to end (SIGTERM), and waits for that.
    pub async fn terminate(&self, timeout: Duration) -> anyhow::Result<std::process::ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(timeout).await
    }

    /// Waits until it exits.
    pub async fn wait(&self, timeout: Duration) -> anyhow::Result<std::process::ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            // The lock is held for one check only, so that another thread can kill the process meanwhile.
            let ended = lock(&self.child).exit_status();
            if let Some(status) = ended {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("the controller still runs after {timeout:?}:\n{}", self.log_tail(20));
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// Kills it if it still runs, and starts it again with the same options, without waiting for it to be
    /// ready.
    pub fn restart(&self) -> anyhow::Result<()> {
        let mut child = lock(&self.child);
        child.kill();
        *child = spawn(&self.options, self.port)?;
        Ok(())
    }

    /// Waits until `/readyz` answers 200; fails early when the process exits.
    pub async fn until_ready(&self, timeout: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let missing = match self.ready().await {
                Ok(None) => return Ok(()),
                Ok(Some(missing)) => missing,
                // Nothing listens yet.
                Err(error) => format!("{error:#}"),
            };
            // A statement of its own: the lock must be free again for the log.
            let ended = lock(&self.child).exit_status();
            if let Some(status) = ended {
                bail!("the controller ended with {status}:\n{}", self.log_tail(30));
            }
            if Instant::now() >= deadline {
                bail!("the controller is not ready after {timeout:?} ({missing}):\n{}", self.log_tail(30));
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// Returns what `/readyz` reports as missing, or `None` when it is ready.
    pub async fn ready(&self) -> anyhow::Result<Option<String>> {
        let answer = self.http.get(format!("http://{}/readyz", self.address())).send().await?;
        if answer.status().is_success() {
            return Ok(None);
        }
        Ok(Some(answer.text().await?))
    }

    /// Returns whether `/livez` answers 200.
    pub async fn alive(&self) -> anyhow::Result<bool> {
        Ok(self.http.get(format!("http://{}/livez", self.address())).send().await?.status().is_success())
    }

    /// Returns the text of `/metrics`.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        let answer = self.http.get(format!("http://{}/metrics", self.address())).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// Returns the sum of a metric's samples whose line, name and labels, has each of the given parts.
    pub async fn metric(&self, name: &str, parts: &[&str]) -> anyhow::Result<f64> {
        Ok(sum(&self.metrics().await?, name, parts))
    }

    /// Returns the address of its health and metrics endpoints.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns everything that it logged, across restarts.
    pub fn log(&self) -> String {
        lock(&self.child).log_text()
    }

    /// Returns the last lines that it logged.
    pub fn log_tail(&self, lines: usize) -> String {
        lock(&self.child).log_tail(lines)
    }

    /// Returns the most memory that it held at once since its last start, in KiB.
    pub fn peak_rss_kib(&self) -> anyhow::Result<u64> {
        lock(&self.child).peak_rss_kib()
    }

    /// Returns the memory that it holds now, in KiB.
    pub fn rss_kib(&self) -> anyhow::Result<u64> {
        lock(&self.child).rss_kib()
    }

    /// Returns the processor time that it used since its last start.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        lock(&self.child).cpu()
    }
}

fn spawn(options: &ControllerOptions, port: u16) -> anyhow::Result<Child> {
    let mut program = match &options.cgroup {
        None => Program::new(&options.binary, &options.log),
        Some(cgroup) => cgroup.program(&options.binary, &options.log),
    };
    program = program
        .arg(format!("--region={}", options.region))
        .arg(format!("--metadata-endpoint={}", options.cloud_address))
        .arg(format!("--listen-address=127.0.0.1:{port}"))
        .arg(format!("--webhook-address={}", options.webhook_address))
        .arg(format!("--log-format={}", options.log_format))
        .arg(format!("--log-level={}", options.log_level))
        .args(&options.args)
        .env("KUBECONFIG", &options.kubeconfig)
        .env("POD_NAME", &options.pod)
        .env_remove("POD_UID")
        // A log that tests search has no escape codes.
        .env("NO_COLOR", "1")
        // The variables of a cluster and of a developer's proxy would lead it past the lab.
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .env_remove("HTTPS_PROXY")
        .env_remove("https_proxy")
        .env_remove("ALL_PROXY")
        .env_remove("all_proxy");
    if !options.by_https {
        program = program.arg(format!("--cloud-address={}", options.cloud_address));
    }
    for (key, value) in &options.env {
        program = program.env(key, value);
    }
    program.start()
}

fn sum(metrics: &str, name: &str, parts: &[&str]) -> f64 {
    metrics
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter(|line| parts.iter().all(|part| line.contains(part)))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

/// Builds the controller as it is shipped, and returns the path of its binary.
pub async fn build_release() -> anyhow::Result<PathBuf> {
    build("acr-credential-controller", &["--release", "--package=acr-credential-binding"]).await
}

/// Builds the plugin of kubectl as it is shipped, and returns the path of its binary.
pub async fn build_plugin() -> anyhow::Result<PathBuf> {
    build("kubectl-acr", &["--release", "--package=acr-credential-binding"]).await
}

/// Builds the controller beside this program, of the same crates, and returns the path of its binary.
pub async fn build_debug() -> anyhow::Result<PathBuf> {
    build("acr-credential-controller", &[]).await
}

async fn build(program: &str, profile: &[&str]) -> anyhow::Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = tokio::process::Command::new(cargo)
        .args(["build", "--bin", program])
        .args(profile)
        // The messages name the binary wherever the target directory is; progress stays on standard error.
        .arg("--message-format=json-render-diagnostics")
        .current_dir(workspace)
        .stderr(std::process::Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .context("cargo did not start")?;
    if !output.status.success() {
        bail!("{program} did not build: cargo ended with {}", output.status);
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| {
            let is_it = message["target"]["name"] == program;
            message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
        })
        .context("cargo names no executable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_the_samples_that_match() {
        let text = "# TYPE calls counter\ncalls_total{action=\"a\",code=\"ok\"} 2\n\
                    calls_total{action=\"b\",code=\"ok\"} 3\ncalls_total_seconds 9\nup 1\n";
        assert_eq!(sum(text, "calls_total", &[]), 5.0);
        assert_eq!(sum(text, "calls_total", &["action=\"b\""]), 3.0);
        assert_eq!(sum(text, "up", &[]), 1.0);
    }
    #[tokio::test]
    async fn a_controller_that_exits_at_once_is_reported_with_its_log() {
        let dir = crate::process::Scratch::new("acr-lab-test-").unwrap();
        let options = ControllerOptions::new("/bin/ls", dir.path().join("kubeconfig"), "http://127.0.0.1:1");
        let error = Controller::start_ready(options, Duration::from_secs(60)).await.err().unwrap();
        let error = format!("{error:#}");
        assert!(error.contains("the controller ended") && error.contains("--region"), "{error}");
    }
}
