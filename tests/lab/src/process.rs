//! Child processes that never outlive this process, however it ends.
//!
//! Guarantees: a [`Child`] is killed when it is dropped, and when this process ends in any way, SIGKILL
//! included. A directory given to [`remove_at_end`] is removed then too.
//!
//! How: each process has one watchdog, a shell that reads PIDs and directories from a pipe. The kernel closes
//! the pipe when this process is gone, and only then the watchdog acts. `PR_SET_PDEATHSIG` would need
//! `unsafe`. It also fires when the *thread* that started the child ends, which a test's thread does long
//! before its process.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group};

/// Values are separated by newlines, since a path may hold a space. `set -f` and the quotes keep a path with
/// a glob in it as it is. The second `rm` removes what a dying process created during the first.
const WATCHDOG: &str = r#"
set -f
nl='
'
pids=$nl
dirs=$nl
while IFS= read -r line; do
  value=${line#* }
  case $line in
    '+pid '*) pids=$pids$value$nl ;;
    '+dir '*) dirs=$dirs$value$nl ;;
    '-pid '*) case $pids in *"$nl$value$nl"*) pids=${pids%%"$nl$value$nl"*}$nl${pids#*"$nl$value$nl"} ;; esac ;;
    '-dir '*) case $dirs in *"$nl$value$nl"*) dirs=${dirs%%"$nl$value$nl"*}$nl${dirs#*"$nl$value$nl"} ;; esac ;;
  esac
done
IFS=$nl
for pid in $pids; do kill -KILL -- "-$pid" 2>/dev/null || kill -KILL "$pid" 2>/dev/null; done
for dir in $dirs; do rm -rf -- "$dir" 2>/dev/null || { sleep 1; rm -rf -- "$dir"; }; done
"#;

/// How often a waiting call polls: the standard library has no wait with a deadline.
const POLL_EVERY: Duration = Duration::from_millis(5);

fn watchdog() -> anyhow::Result<&'static Mutex<ChildStdin>> {
    static WATCHDOG_PIPE: OnceLock<Result<Mutex<ChildStdin>, String>> = OnceLock::new();
    WATCHDOG_PIPE
        .get_or_init(|| {
            let mut child = Command::new("sh")
                .args(["-c", WATCHDOG, "lab-watchdog"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .current_dir("/")
                .process_group(0)
                .spawn()
                .map_err(|error| format!("the watchdog did not start: {error}"))?;
            child.stdin.take().map(Mutex::new).ok_or_else(|| "the watchdog has no pipe".to_owned())
        })
        .as_ref()
        .map_err(|error| anyhow!("{error}"))
}

fn send_to_watchdog(line: &str) -> anyhow::Result<()> {
    let mut pipe = lock(watchdog()?);
    writeln!(pipe, "{line}").context("the watchdog is gone")
}

/// Locks a mutex. A poisoned lock only means that a test panicked elsewhere; the data behind these locks is
/// still complete.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the directory when this process ends, even if `Drop` does not run.
pub fn remove_at_end(dir: &Path) -> anyhow::Result<()> {
    send_to_watchdog(&format!("+dir {}", dir.display()))
}

/// Cancels [`remove_at_end`], for a directory that is removed already or must stay.
pub fn keep_at_end(dir: &Path) -> anyhow::Result<()> {
    send_to_watchdog(&format!("-dir {}", dir.display()))
}

/// A temporary directory that is removed when this is dropped, or when this process ends without a drop.
#[derive(Debug)]
pub struct Scratch {
    dir: Option<tempfile::TempDir>,
    path: PathBuf,
}

impl Scratch {
    /// Creates a new directory whose name begins with `prefix`, readable by the current user only.
    pub fn new(prefix: &str) -> anyhow::Result<Scratch> {
        let dir = tempfile::Builder::new().prefix(prefix).tempdir().context("no temporary directory")?;
        remove_at_end(dir.path())?;
        Ok(Scratch { path: dir.path().to_owned(), dir: Some(dir) })
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The watchdog keeps its entry until the directory is really gone.
        if self.dir.take().is_none_or(|dir| dir.close().is_ok()) {
            let _ = keep_at_end(&self.path);
        }
    }
}

/// A program to start: its arguments and environment, and the file that gets its output.
pub struct Program {
    command: Command,
    name: String,
    log: PathBuf,
}

impl Program {
    /// Returns a program whose standard output and error are appended to `log`.
    pub fn new(program: impl AsRef<Path>, log: impl Into<PathBuf>) -> Program {
        let program = program.as_ref();
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        Program { command: Command::new(program), name, log: log.into() }
    }

    /// Changes its name in messages, where it is started by another program.
    pub(crate) fn named(self, name: &str) -> Program {
        Program { name: name.to_owned(), ..self }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Program {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<std::ffi::OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Program {
        self.command.args(args);
        self
    }

    /// Sets an environment variable beside the inherited ones.
    pub fn env(mut self, key: impl AsRef<std::ffi::OsStr>, value: impl AsRef<std::ffi::OsStr>) -> Program {
        self.command.env(key, value);
        self
    }

    /// Removes an inherited environment variable.
    pub fn env_remove(mut self, key: impl AsRef<std::ffi::OsStr>) -> Program {
        self.command.env_remove(key);
        self
    }

    /// Sets the working directory.
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Program {
        self.command.current_dir(dir);
        self
    }

    /// Starts the program in a process group of its own, so that Ctrl-C in a terminal reaches only this
    /// process.
    pub fn start(mut self) -> anyhow::Result<Child> {
        // The watchdog starts before the child, so that no child is ever without it.
        watchdog()?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("no log file {}", self.log.display()))?;
        let inner = self
            .command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} did not start", self.name))?;
        let child = Child { pid: inner.id(), name: self.name, log: self.log, inner: Mutex::new(inner) };
        send_to_watchdog(&format!("+pid {}", child.pid))?;
        Ok(child)
    }
}

/// A running (or ended) process; killed with its whole process group when dropped.
pub struct Child {
    inner: Mutex<std::process::Child>,
    pid: u32,
    name: String,
    log: PathBuf,
}

impl Child {
    /// Returns the process ID, which stays after the end.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the program's file name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file that holds the output of the process.
    pub fn log(&self) -> PathBuf {
        self.log.clone()
    }

    /// Returns the output of the process so far.
    pub fn log_text(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Returns the last lines of the output, for an error message.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = self.log_text();
        let all: Vec<&str> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    /// Sends a signal to the process alone. Fails if the process has ended, so that the signal never reaches
    /// another process of the same PID.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        // The process is not reaped while the lock is held, so its PID is still its own.
        let mut inner = lock(&self.inner);
        if inner.try_wait()?.is_some() {
            bail!("{} ({}) has ended", self.name, self.pid);
        }
        kill_process(self.raw_pid()?, signal).with_context(|| format!("no signal for {}", self.name))
    }

    /// Returns whether the process is still running. A stopped one (SIGSTOP) is running.
    pub fn is_running(&self) -> bool {
        matches!(lock(&self.inner).try_wait(), Ok(None))
    }

    /// Returns the exit status if the process has ended.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        lock(&self.inner).try_wait().ok().flatten()
    }

    /// Waits until the process ends.
    pub async fn wait(&self, timeout: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = lock(&self.inner).try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("{} ({}) still runs after {timeout:?}", self.name, self.pid);
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// Kills the process and its group, and returns when the process is gone. Does nothing if it has ended.
    pub fn kill(&self) {
        let mut inner = lock(&self.inner);
        if matches!(inner.try_wait(), Ok(None)) {
            if let Ok(pid) = self.raw_pid() {
                // It leads its group, which holds everything that it started.
                let _ = kill_process_group(pid, Signal::KILL);
            }
            let _ = inner.kill();
        }
        let _ = inner.wait();
    }

    /// Returns the most memory that the process held at once, in KiB (`VmHWM`); only while it runs.
    pub fn peak_rss_kib(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|value| value.split_whitespace().next()?.parse().ok())
            .with_context(|| format!("{} ({}) has no VmHWM: has it ended?", self.name, self.pid))
    }

    /// Returns the processor time that the process has used in user and system mode; only while it runs.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The second field is the name in brackets, which may hold spaces; what follows has none.
        let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
        let (Some(user), Some(system)) = (ticks(11), ticks(12)) else {
            bail!("no processor time of {} ({})", self.name, self.pid);
        };
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_millis((user + system) * 1000 / per_second.max(1)))
    }

    fn raw_pid(&self) -> anyhow::Result<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("not a pid")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        // A watchdog that is gone needs no message.
        let _ = send_to_watchdog(&format!("-pid {}", self.pid));
    }
}
