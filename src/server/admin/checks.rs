//! Checks as the API server lists them: `[+]name ok`, or `[-]name failed: why`.

use std::fmt::Write as _;
use std::time::Duration;

use axum::http::StatusCode;

use crate::model::count::count;
use crate::server::heartbeats::WaitingWork;

/// A check and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, without a space.
    pub name: String,
    /// Details, or the failure.
    pub result: Result<String, String>,
    /// Whether a failure fails the request. One that does not is reported all the same.
    pub counts: bool,
}

impl Check {
    /// Returns the check of a heartbeat, which fails from the limit on.
    pub fn heartbeat(task: &str, age: Duration, limit: Duration) -> Self {
        let name = task.strip_prefix("the ").or(task.strip_prefix("a ")).unwrap_or(task);
        let result = match age < limit {
            true => Ok(format!("ran {} s ago", age.as_secs())),
            false => Err(format!("has not run for {} s", age.as_secs())),
        };
        Self { name: name.replace([' ', '\''], "-"), result, counts: true }
    }

    /// Returns the check of a loop's queue, which fails once its work waits untaken for as long as the limit.
    pub fn queue(queue: &str, waiting: Option<WaitingWork>, limit: Duration) -> Self {
        let result = match waiting {
            None => Ok("no work waits".to_owned()),
            Some(WaitingWork { keys, age }) if age < limit => Ok(format!(
                "work was last taken {} s ago; waiting: {}",
                age.as_secs(),
                count(keys, "key", "keys")
            )),
            Some(WaitingWork { keys, age }) => Err(format!(
                "no work was taken for {} s; waiting: {}",
                age.as_secs(),
                count(keys, "key", "keys")
            )),
        };
        Self { name: format!("{queue}-queue"), result, counts: true }
    }

    /// Returns the check of a watch. It fails from the limit on, and never counts: a replica whose watch hears nothing
    /// still answers reviews, and without any replica the API server would refuse ServiceAccounts under `Fail`.
    pub fn watch(watch: &str, age: Duration, limit: Duration) -> Self {
        let result = match age < limit {
            true => Ok(format!("heard {} s ago", age.as_secs())),
            false => Err(format!("heard nothing for {} s; this replica stays ready", age.as_secs())),
        };
        Self { name: format!("watch-{watch}"), result, counts: false }
    }

    fn fails(&self) -> bool {
        self.counts && self.result.is_err()
    }
}

/// Returns the answer to a probe of this name. `verbose` lists every check.
pub fn answer(probe: &str, checks: &[Check], verbose: bool) -> (StatusCode, String) {
    let failed = checks.iter().any(Check::fails);
    let status = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let text = match (verbose, failed) {
        (true, _) => list(probe, checks, failed),
        (false, false) => "ok".to_owned(),
        (false, true) => {
            let failures = checks.iter().filter(|check| check.fails());
            let failures = failures.filter_map(|check| check.result.as_ref().err());
            failures.map(String::as_str).collect::<Vec<_>>().join("; ")
        }
    };
    (status, text)
}

fn list(probe: &str, checks: &[Check], failed: bool) -> String {
    let mut text = String::new();
    for Check { name, result, .. } in checks {
        // Writing into a String does not fail.
        let _ = match result {
            Ok(details) if details.is_empty() => writeln!(text, "[+]{name} ok"),
            Ok(details) => writeln!(text, "[+]{name} ok: {details}"),
            Err(why) => writeln!(text, "[-]{name} failed: {why}"),
        };
    }
    let _ = writeln!(text, "{probe} check {}", if failed { "failed" } else { "passed" });
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::StatusCode;

    use super::{Check, WaitingWork, answer};

    const LIMIT: Duration = Duration::from_secs(30);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_heartbeat_fails_from_the_limit_on() {
        let fresh = Check::heartbeat("the credential loop", seconds(29), LIMIT);
        let stopped = Check::heartbeat("a namespace worker", seconds(30), LIMIT);
        assert_eq!(answer("livez", std::slice::from_ref(&fresh), false), (StatusCode::OK, "ok".to_owned()));
        let (status, text) = answer("livez", &[fresh, stopped], true);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let lines = [
            "[+]credential-loop ok: ran 29 s ago",
            "[-]namespace-worker failed: has not run for 30 s",
            "livez check failed",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn a_queue_whose_work_no_loop_takes_fails_from_the_limit_on() {
        let waiting = |keys, age| Some(WaitingWork { keys, age });
        let idle = Check::queue("binding", None, LIMIT);
        let busy = Check::queue("namespace", waiting(3, seconds(29)), LIMIT);
        assert_eq!(answer("livez", &[idle.clone(), busy.clone()], false).0, StatusCode::OK);
        let stuck = Check::queue("namespace", waiting(1, LIMIT), LIMIT);
        let (status, text) = answer("livez", &[idle, busy, stuck], true);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let lines = [
            "[+]binding-queue ok: no work waits",
            "[+]namespace-queue ok: work was last taken 29 s ago; waiting: 3 keys",
            "[-]namespace-queue failed: no work was taken for 30 s; waiting: 1 key",
            "livez check failed",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn a_watch_that_hears_nothing_is_listed_and_does_not_fail_the_probe() {
        let checks = [Check::watch("bindings", seconds(4), LIMIT), Check::watch("secrets", LIMIT, LIMIT)];
        assert_eq!(answer("readyz", &checks, false), (StatusCode::OK, "ok".to_owned()));
        let (status, text) = answer("readyz", &checks, true);
        assert_eq!(status, StatusCode::OK);
        let lines = [
            "[+]watch-bindings ok: heard 4 s ago",
            "[-]watch-secrets failed: heard nothing for 30 s; this replica stays ready",
            "readyz check passed",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }
}
