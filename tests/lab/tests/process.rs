//! The lab leaves no process and no directory behind.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use acr_lab::process::{Child, Program, Scratch, Signal};

const HELPER_DIR: &str = "ACR_LAB_HELPER_DIR";

fn sleeper(dir: &Path) -> Child {
    Program::new("/bin/sh", dir.join("sleeper.log")).args(["-c", "sleep 600; true"]).start().unwrap()
}

/// Returns whether a process is gone, or dead and not yet reaped: in a container an orphan may never be
/// reaped.
fn is_gone(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "not in 10 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs in the process that the test below starts and kills.
fn be_killed(dir: &Path) {
    let scratch = Scratch::new("acr-lab-helper-").unwrap();
    let child = sleeper(dir);
    fs::write(dir.join("said.new"), format!("{}\n{}", child.pid(), scratch.path().display())).unwrap();
    fs::rename(dir.join("said.new"), dir.join("said")).unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

#[tokio::test]
async fn a_killed_process_takes_its_children_and_directories_with_it() {
    if let Some(dir) = env::var_os(HELPER_DIR).map(PathBuf::from) {
        return be_killed(&dir);
    }
    let dir = Scratch::new("acr-lab-test-").unwrap();
    let helper = Program::new(env::current_exe().unwrap(), dir.path().join("helper.log"))
        .args(["--exact", "a_killed_process_takes_its_children_and_directories_with_it"])
        .env(HELPER_DIR, dir.path())
        .start()
        .unwrap();
    let said = dir.path().join("said");
    until("the helper starts its child", || said.exists());
    let said = fs::read_to_string(said).unwrap();
    let (pid, scratch) = said.split_once('\n').unwrap();
    let pid: u32 = pid.parse().unwrap();
    assert!(!is_gone(pid) && Path::new(scratch).exists());

    // Only the helper: its group and its watchdog are not touched.
    helper.signal(Signal::KILL).unwrap();
    helper.wait(Duration::from_secs(5)).await.unwrap();

    until("the grandchild dies", || is_gone(pid));
    until("the directory goes", || !Path::new(scratch).exists());
}

#[tokio::test]
async fn a_dropped_child_is_dead_with_its_group_when_drop_returns() {
    let dir = Scratch::new("acr-lab-test-").unwrap();
    let child = sleeper(dir.path());
    let pid = child.pid();
    // The shell has a child of its own, in the same group.
    let children = format!("/proc/{pid}/task/{pid}/children");
    until("the shell starts sleep", || fs::read_to_string(&children).is_ok_and(|pids| !pids.is_empty()));
    let grandchild: u32 = fs::read_to_string(&children).unwrap().trim().parse().unwrap();
    assert!(child.peak_rss_kib().unwrap() > 0);
    child.cpu().unwrap();
    drop(child);
    assert!(is_gone(pid));
    until("the grandchild dies", || is_gone(grandchild));
}

#[tokio::test]
async fn an_ended_child_reports_its_status_and_takes_no_signal() {
    let dir = Scratch::new("acr-lab-test-").unwrap();
    let child =
        Program::new("/bin/sh", dir.path().join("log")).args(["-c", "echo said; exit 3"]).start().unwrap();
    let status = child.wait(Duration::from_secs(5)).await.unwrap();
    assert_eq!(status.code(), Some(3));
    assert!(!child.is_running());
    assert_eq!(child.log_text(), "said\n");
    child.signal(Signal::TERM).unwrap_err();
}
