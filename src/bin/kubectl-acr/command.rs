//! What the commands share: an exit code, colours and the clock.

use k8s_openapi::jiff::Timestamp;

/// Exit code of a check that failed, of an uninstallation that something is in the way of, and of a wait that ran out of time.
pub const NOT_PASSED: u8 = 1;

/// Returns whether the output is coloured: on a terminal, unless the user declines.
pub fn colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Returns the time on the wall clock.
#[expect(clippy::disallowed_methods, reason = "the program reads the time here and passes it in")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
