//! When somebody else wants the same object otherwise: we step back, since two that overwrite each other serve nobody.

use std::collections::VecDeque;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::change::Change;
use super::failure::Failure;
use super::refresh::backoff;
use crate::api::Reason;

/// Repairs of one object within [`WINDOW`] that are no fight yet. An edit by hand, a rollout or a refresh takes a few.
const MOST: usize = 10;

/// The span that repairs are counted over.
const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// A fight that rested for so long is over. A GitOps tool that states its list every ten minutes does not rest.
pub const FORGOTTEN: SignedDuration = SignedDuration::from_mins(15);

/// What nothing is left alone for at one go.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// The write of one object at which somebody is said to undo them, however slowly: the first attached, one repair may be
/// of an edit by hand.
const TOLD: u32 = 3;

/// The writes of one object.
#[derive(Clone, Debug, Default)]
pub struct WriteHistory {
    /// Those of the last [`WINDOW`].
    writes: VecDeque<Timestamp>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    count: u32,
    lost: u32,
    quiet_until: Option<Timestamp>,
}

impl WriteHistory {
    /// Takes a write in.
    pub fn wrote(&mut self, now: Timestamp, seed: &str) {
        if self.is_over(now) {
            *self = Self::default();
        }
        while self.writes.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            self.writes.pop_front();
        }
        self.writes.push_back(now);
        self.first.get_or_insert(now);
        self.last = Some(now);
        self.count = self.count.saturating_add(1);
        // Who has lost once is given one more try at a time.
        let most = if self.lost == 0 { MOST } else { 1 };
        if self.writes.len() > most {
            self.lost = self.lost.saturating_add(1);
            self.writes.clear();
            let wait = backoff(self.lost, Duration::from_secs(10), Duration::from_secs(300), seed);
            self.quiet_until =
                SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok());
        }
    }

    /// Until when nothing is to be written.
    pub fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.quiet_until.filter(|until| is_ahead(*until, now))
    }

    /// Whether there is nothing to remember.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.last.max(self.quiet_until).is_none_or(|last| now.duration_since(last) > FORGOTTEN)
    }

    /// When it began, if the next write is the one at which somebody is said to undo them.
    pub fn is_to_be_told(&self, now: Timestamp) -> Option<Timestamp> {
        self.first.filter(|_| self.count + 1 >= TOLD && !self.is_over(now))
    }
}

/// An object that is written whenever it is not as it is wanted, and whoever undoes that.
#[derive(Clone, Debug, Default)]
pub struct Enforced<T> {
    written: Option<T>,
    write_history: WriteHistory,
}

impl<T: PartialEq> Enforced<T> {
    /// Takes in that what is wanted was written. Somebody undid it only where the same was written before.
    pub fn wrote(&mut self, wanted: T, now: Timestamp, seed: &str) {
        if self.written.as_ref() == Some(&wanted) {
            self.write_history.wrote(now, seed);
        }
        self.written = Some(wanted);
    }

    /// Until when nothing is to be written.
    pub fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.write_history.quiet_until(now)
    }
}

/// Whether a wait is not over yet. None is longer than ten minutes: where more is left, the clock was set back.
pub fn is_ahead(until: Timestamp, now: Timestamp) -> bool {
    now < until && until.duration_since(now) <= LONGEST
}

/// What of ours a rival undoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevertedPart {
    /// What our Secret holds.
    Secret,
    /// Our entry of a list.
    Entry,
    /// That our entry was taken out of a list.
    Withdrawal,
}

impl RevertedPart {
    /// What a rival undoes that comes after a change, where `ours` is the name of our Secret.
    pub fn of(change: &Change, ours: &str) -> Self {
        match change {
            Change::SetPullSecrets { pull_secrets, .. }
                if pull_secrets.iter().any(|name| &**name == ours) =>
            {
                Self::Entry
            }
            Change::SetPullSecrets { .. } => Self::Withdrawal,
            _ => Self::Secret,
        }
    }

    fn cure(self) -> &'static str {
        match self {
            Self::Secret => {
                "have it leave this Secret alone, as the documented component does once its add-on is uninstalled"
            }
            Self::Entry => {
                "state our entry in its manifest, or set spec.webhook.enable so that admission adds it to what is written \
                 (by webhook only with the controller's --webhook-on-update), or have it ignore the field (Argo CD: \
                 ignoreDifferences for /imagePullSecrets with RespectIgnoreDifferences=true)"
            }
            Self::Withdrawal => {
                "take our entry out of its manifest, or cover the ServiceAccount by a binding"
            }
        }
    }
}

/// What a rival does to an object that is written faster than it can be held.
pub fn left_alone(what: &str, writer: &str, undone: RevertedPart) -> Failure {
    let cure = undone.cure();
    Failure::new(
        Reason::Contended,
        format!(
            "{what} is written again and again by {writer}; it is left alone for a while: stop that writer, or {cure}"
        ),
    )
}

/// What a rival does to an object that is brought back each time.
pub fn brought_back(what: &str, writer: &str, undone: RevertedPart) -> Failure {
    let harm = match undone {
        RevertedPart::Secret => {
            "without our part, which is brought back each time, but a pull in between fails"
        }
        RevertedPart::Entry => {
            "without our entry, which is brought back each time, but a Pod that is created in between cannot pull"
        }
        RevertedPart::Withdrawal => {
            "with our entry, though no binding covers it, and it is taken out each time"
        }
    };
    let cure = undone.cure();
    Failure::new(
        Reason::Contended,
        format!("{what} is written again and again by {writer} {harm}: stop that writer, or {cure}"),
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::{Enforced, MOST, RevertedPart, WriteHistory, brought_back, left_alone};
    use crate::plan::Change;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// A rivalry after `count` writes, one each `step` seconds, and the time of the last one.
    fn after(count: usize, step: i64) -> (WriteHistory, i64) {
        let mut write_history = WriteHistory::default();
        let mut now = 0;
        for _ in 0..count {
            now += step;
            write_history.wrote(at(now), "ns");
        }
        (write_history, now)
    }

    #[test]
    fn some_repairs_are_no_fight_and_slow_ones_never_are() {
        let (write_history, now) = after(MOST, 1);
        assert_eq!(write_history.quiet_until(at(now)), None);
        let (write_history, now) = after(1000, 7);
        assert_eq!(write_history.quiet_until(at(now)), None);
    }

    #[test]
    fn what_is_wanted_anew_is_no_fight_and_what_is_undone_is() {
        let mut upheld = Enforced::default();
        for wanted in 0..1000 {
            upheld.wrote(wanted, at(0), "it");
        }
        assert_eq!(upheld.quiet_until(at(0)), None);
        for _ in 0..=MOST {
            assert_eq!(upheld.quiet_until(at(1)), None);
            upheld.wrote(999, at(1), "it");
        }
        assert!(upheld.quiet_until(at(1)).is_some());
    }

    #[test]
    fn a_clock_that_is_set_back_ends_a_wait() {
        let (write_history, now) = after(MOST + 1, 1);
        assert!(write_history.quiet_until(at(now)).is_some());
        assert_eq!(write_history.quiet_until(at(now - 3600)), None);
    }

    #[test]
    fn a_fight_is_left_for_a_while_and_for_longer_each_time() {
        let (mut write_history, mut now) = after(MOST + 1, 1);
        let mut last = 0;
        for _ in 0..4 {
            let until = write_history.quiet_until(at(now)).expect("stepped back");
            let wait = until.as_second() - at(now).as_second();
            assert!(wait > last, "{wait} after {last}");
            last = wait;
            now += wait + 1;
            assert_eq!(write_history.quiet_until(at(now)), None);
            // One more try, which the rival undoes at once.
            write_history.wrote(at(now), "ns");
            assert_eq!(write_history.quiet_until(at(now)), None);
            write_history.wrote(at(now), "ns");
        }
    }

    #[test]
    fn a_slow_fight_is_told_at_the_third_write_and_goes_on_being_written() {
        for step in [5, 180, 600] {
            let (write_history, now) = after(1, step);
            assert_eq!(write_history.is_to_be_told(at(now)), None, "the first write attaches");
            let (write_history, now) = after(2, step);
            assert_eq!(write_history.is_to_be_told(at(now + step)), Some(at(step)), "{step} s");
            let (write_history, now) = after(200, step.max(7));
            assert_eq!(write_history.quiet_until(at(now)), None);
        }
        let (write_history, now) = after(2, 1000);
        assert_eq!(write_history.is_to_be_told(at(now + 1000)), None, "that rested in between");
    }

    #[test]
    fn the_cure_is_that_of_what_is_undone() {
        let set = |list: &[&str]| Change::SetPullSecrets {
            service_account: "default".into(),
            resource_version: "1".into(),
            pull_secrets: list.iter().map(|name| (*name).into()).collect(),
        };
        let told = |change: &Change| {
            brought_back("it", "the field manager flux", RevertedPart::of(change, "ours")).message
        };
        let entry = told(&set(&["theirs", "ours"]));
        assert!(
            entry.contains("by the field manager flux") && entry.contains("spec.webhook.enable"),
            "{entry}"
        );
        assert!(entry.contains("only with the controller's --webhook-on-update"), "{entry}");
        let withdrawn = told(&set(&["theirs"]));
        assert!(withdrawn.contains("out of its manifest") && !withdrawn.contains("webhook"), "{withdrawn}");
        let delete = Change::DeleteSecret { uid: "u".into(), resource_version: "1".into() };
        assert!(told(&delete).contains("leave this Secret alone"));
        assert!(left_alone("it", "x", RevertedPart::Entry).message.contains("RespectIgnoreDifferences"));
    }

    #[test]
    fn a_fight_that_rests_is_forgotten() {
        let (mut write_history, now) = after(MOST + 1, 1);
        assert!(!write_history.is_over(at(now + 600)));
        assert!(write_history.is_over(at(now + 3600)));
        write_history.wrote(at(now + 3600), "ns");
        write_history.wrote(at(now + 3601), "ns");
        assert_eq!(write_history.quiet_until(at(now + 3601)), None);
        assert!(WriteHistory::default().is_over(at(0)));
    }
}
