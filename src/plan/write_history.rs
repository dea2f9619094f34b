//! The writes of one object. Where another writer keeps reverting them, this process steps back: two writers that
//! overwrite each other serve neither.

use std::collections::VecDeque;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::refresh::backoff;

/// Repairs of one object within [`WINDOW`] that are not a conflict yet. An edit by hand, a rollout or a refresh takes a
/// few.
const MAX_REPAIRS: usize = 10;

/// The span that repairs are counted over.
const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// A conflict without a write for so long is over. A GitOps tool that applies its list every ten minutes keeps it
/// going.
pub const FORGOTTEN: SignedDuration = SignedDuration::from_mins(15);

/// The longest wait. Where more is left, the clock was set back.
pub const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// The write of one object that is reported, however slow the other writer is. The first write attached, and one repair
/// may answer to an edit by hand.
const REPORTED: u32 = 3;

/// The writes of one object.
#[derive(Clone, Debug, Default)]
pub struct WriteHistory {
    /// The writes of the last [`WINDOW`].
    writes: VecDeque<Timestamp>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    count: u32,
    lost: u32,
    quiet_until: Option<Timestamp>,
}

impl WriteHistory {
    /// Records a write.
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
        // After the first wait, one attempt at a time is enough.
        let most = if self.lost == 0 { MAX_REPAIRS } else { 1 };
        if self.writes.len() > most {
            self.lost = self.lost.saturating_add(1);
            self.writes.clear();
            let wait = backoff(self.lost, Duration::from_secs(10), Duration::from_secs(300), seed);
            self.quiet_until =
                SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok());
        }
    }

    /// Returns until when the object is left alone.
    pub fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.quiet_until.filter(|until| is_ahead(*until, now))
    }

    /// Returns the number of writes.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns the time of the first write.
    pub fn first(&self) -> Option<Timestamp> {
        self.first
    }

    /// Returns the time of the last write.
    pub fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// Returns when it is over unless another write follows; `None` where there is nothing to remember.
    pub fn over_at(&self) -> Option<Timestamp> {
        let last = self.last.max(self.quiet_until)?;
        Some(last.checked_add(FORGOTTEN).unwrap_or(Timestamp::MAX))
    }

    /// Returns whether there is nothing to remember.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.over_at().is_none_or(|over_at| now > over_at)
    }

    /// Returns when it began, if the next write is to be reported as a reaction to another writer.
    pub fn reports_from(&self, now: Timestamp) -> Option<Timestamp> {
        self.first.filter(|_| self.count + 1 >= REPORTED && !self.is_over(now))
    }
}

/// An object that is written whenever it differs from what is wanted, and the writes that another writer reverted.
#[derive(Clone, Debug, Default)]
pub struct Enforced<T> {
    written: Option<T>,
    write_history: WriteHistory,
}

impl<T: PartialEq> Enforced<T> {
    /// Records a write of the wanted content. Another writer reverted it only if the same content was written before.
    pub fn wrote(&mut self, wanted: T, now: Timestamp, seed: &str) {
        if self.written.as_ref() == Some(&wanted) {
            self.write_history.wrote(now, seed);
        }
        self.written = Some(wanted);
    }

    /// Returns until when the object is left alone.
    pub fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.write_history.quiet_until(now)
    }
}

/// Returns whether a wait is not over yet. None is longer than [`LONGEST`].
pub fn is_ahead(until: Timestamp, now: Timestamp) -> bool {
    now < until && until.duration_since(now) <= LONGEST
}

/// Returns the time after a wait, which is cut at the longest that [`is_ahead`] believes.
pub fn after(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(LONGEST).min(LONGEST);
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::{Enforced, MAX_REPAIRS, WriteHistory};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// Returns a history after `count` writes, one each `step` seconds, and the time of the last one.
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
    fn a_few_repairs_are_not_a_conflict_and_slow_ones_never_are() {
        let (write_history, now) = after(MAX_REPAIRS, 1);
        assert_eq!(write_history.quiet_until(at(now)), None);
        let (write_history, now) = after(1000, 7);
        assert_eq!(write_history.quiet_until(at(now)), None);
    }

    #[test]
    fn a_new_content_is_not_a_conflict_and_a_reverted_one_is() {
        let mut enforced = Enforced::default();
        for wanted in 0..1000 {
            enforced.wrote(wanted, at(0), "it");
        }
        assert_eq!(enforced.quiet_until(at(0)), None);
        for _ in 0..=MAX_REPAIRS {
            assert_eq!(enforced.quiet_until(at(1)), None);
            enforced.wrote(999, at(1), "it");
        }
        assert!(enforced.quiet_until(at(1)).is_some());
    }

    #[test]
    fn a_clock_that_is_set_back_ends_a_wait() {
        let (write_history, now) = after(MAX_REPAIRS + 1, 1);
        assert!(write_history.quiet_until(at(now)).is_some());
        assert_eq!(write_history.quiet_until(at(now - 3600)), None);
    }

    #[test]
    fn a_contended_object_is_left_alone_for_longer_each_time() {
        let (mut write_history, mut now) = after(MAX_REPAIRS + 1, 1);
        let mut last = 0;
        for _ in 0..4 {
            let until = write_history.quiet_until(at(now)).expect("stepped back");
            let wait = until.as_second() - at(now).as_second();
            assert!(wait > last, "{wait} after {last}");
            last = wait;
            now += wait + 1;
            assert_eq!(write_history.quiet_until(at(now)), None);
            // One more attempt, which the other writer reverts at once.
            write_history.wrote(at(now), "ns");
            assert_eq!(write_history.quiet_until(at(now)), None);
            write_history.wrote(at(now), "ns");
        }
    }

    #[test]
    fn a_slow_conflict_is_reported_at_the_third_write_and_writes_go_on() {
        for step in [5, 180, 600] {
            let (write_history, now) = after(1, step);
            assert_eq!(write_history.reports_from(at(now)), None, "the first write attaches");
            let (write_history, now) = after(2, step);
            assert_eq!(write_history.reports_from(at(now + step)), Some(at(step)), "{step} s");
            let (write_history, now) = after(200, step.max(7));
            assert_eq!(write_history.quiet_until(at(now)), None);
        }
        let (write_history, now) = after(2, 1000);
        assert_eq!(write_history.reports_from(at(now + 1000)), None, "that rested in between");
    }

    #[test]
    fn a_conflict_that_rests_is_forgotten() {
        let (mut write_history, now) = after(MAX_REPAIRS + 1, 1);
        assert!(!write_history.is_over(at(now + 600)));
        assert!(write_history.is_over(at(now + 3600)));
        write_history.wrote(at(now + 3600), "ns");
        write_history.wrote(at(now + 3601), "ns");
        assert_eq!(write_history.quiet_until(at(now + 3601)), None);
        assert!(WriteHistory::default().is_over(at(0)));
    }
}
