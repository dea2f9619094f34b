//! A memory limit is in force for a process and for what it starts, and its group never stays behind.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it is skipped")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use acr_lab::{
    cgroup::MemoryCgroup,
    process::{Child, Program, Scratch, Signal},
};

const LIMIT: u64 = 32 * 1024 * 1024;
const HELPER_DIR: &str = "ACR_LAB_HELPER_DIR";
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns a group, or `None` with a note where this machine allows none. CI must allow it.
fn group() -> Option<MemoryCgroup> {
    match MemoryCgroup::create(LIMIT) {
        Ok(group) => Some(group),
        Err(error) => {
            assert!(env::var_os("CI").is_none(), "{error:#}");
            eprintln!("skipped: {error:#}");
            None
        }
    }
}

fn shell(group: &MemoryCgroup, dir: &Path, script: &str) -> Child {
    group.program("/bin/sh", dir.join("shell.log")).args(["-c", script]).start().unwrap()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_process_beyond_the_limit_is_killed_and_counted() {
    let Some(group) = group() else { return };
    let dir = Scratch::new("acr-lab-test-").unwrap();
    let modest = shell(&group, dir.path(), "exit 7");
    assert_eq!(modest.wait(PATIENCE).await.unwrap().code(), Some(7));
    assert_eq!(group.oom_kills().unwrap(), 0);
    // Without an end of line, tail keeps all of it. A limit that is not in force lets it end well.
    let greedy = shell(&group, dir.path(), "head -c 200000000 /dev/zero | tail -n 1 > /dev/null");
    let ended = greedy.wait(PATIENCE).await.unwrap();
    assert!(!ended.success(), "{ended}");
    assert_eq!(group.oom_kills().unwrap(), 1);
    let peak = group.peak().unwrap();
    assert!(peak > LIMIT / 2 && peak <= LIMIT, "{peak}");
}

#[tokio::test]
async fn a_group_goes_with_its_processes_when_it_is_dropped() {
    let Some(group) = group() else { return };
    let dir = Scratch::new("acr-lab-test-").unwrap();
    let child = shell(&group, dir.path(), "sleep 600; true");
    let (procs, path) = (group.procs(), group.dir().to_owned());
    let inside = || fs::read_to_string(&procs).unwrap().lines().any(|line| line == child.pid().to_string());
    until("the shell is in the group", inside);
    drop(group);
    assert!(!child.wait(PATIENCE).await.unwrap().success());
    assert!(!path.exists());
}

/// Runs in the process that the test below starts and kills.
fn be_killed(dir: &Path) {
    let group = group().unwrap();
    let child = shell(&group, dir, "sleep 600; true");
    until("the shell is in the group", || {
        fs::read_to_string(group.procs()).is_ok_and(|pids| !pids.is_empty())
    });
    fs::write(dir.join("made.new"), format!("{}\n{}", group.dir().display(), child.pid())).unwrap();
    fs::rename(dir.join("made.new"), dir.join("made")).unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_by_the_next_group() {
    if let Some(dir) = env::var_os(HELPER_DIR).map(PathBuf::from) {
        return be_killed(&dir);
    }
    let Some(_) = group() else { return };
    let dir = Scratch::new("acr-lab-test-").unwrap();
    let helper = Program::new(env::current_exe().unwrap(), dir.path().join("helper.log"))
        .args(["--exact", "what_a_killed_process_left_is_removed_by_the_next_group"])
        .env(HELPER_DIR, dir.path())
        .start()
        .unwrap();
    let made = dir.path().join("made");
    until("the helper makes its group", || made.exists());
    let made = fs::read_to_string(made).unwrap();
    let left = PathBuf::from(made.lines().next().unwrap());
    assert!(left.exists());
    helper.signal(Signal::KILL).unwrap();
    helper.wait(PATIENCE).await.unwrap();
    assert!(left.exists(), "a killed process removes nothing");
    drop(helper);
    let group = group().unwrap();
    assert!(!left.exists() && group.dir().exists());
}
