//! The deletions of our Secret by others. Who deletes is not recorded, and a restore or a clean-up that deletes does not
//! compete with us: the report says how often, and goes soon after the last one.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::failure::Failure;
use super::write_history::WriteHistory;
use crate::api::Reason;

/// The deletion that is reported. One or two are a clean-up.
const REPORTED: u32 = 3;

/// How long the report stays after the last deletion, at least.
const SHOWN: SignedDuration = SignedDuration::from_secs(60);

/// The longest wait before our Secret is created again.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(30);

/// The deletions that this process answered by a new Secret.
#[derive(Clone, Debug, Default)]
pub struct Deletions {
    creations: WriteHistory,
    /// Time between the last two of them.
    gap: SignedDuration,
}

impl Deletions {
    /// Records that the Secret was created again.
    pub fn answered(&mut self, now: Timestamp, seed: &str) {
        let last = self.creations.last().filter(|_| !self.creations.is_over(now));
        self.gap = last.map(|last| now.duration_since(last)).unwrap_or_default();
        self.creations.wrote(now, seed);
    }

    /// Returns until when the Secret is not created again.
    pub fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        let longest = self.creations.last()?.checked_add(LONGEST_WAIT).ok()?;
        let until = self.creations.quiet_until(now)?.min(longest);
        (now < until).then_some(until)
    }

    /// Returns whether there is nothing to remember.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.creations.is_over(now)
    }

    /// Returns the report, and when it is over, if the Secret of this name was deleted often.
    pub fn report(&self, secret: &str, now: Timestamp) -> Option<(Failure, Timestamp)> {
        let (first, last) = (self.creations.first()?, self.creations.last()?);
        let over_at = last.checked_add(SHOWN.max(self.gap.saturating_mul(2))).unwrap_or(Timestamp::MAX);
        if self.creations.count() < REPORTED || now > over_at || self.is_over(now) {
            return None;
        }
        let message = format!(
            "the Secret {secret} was deleted {} times since {first:.0}. The API server does not record who deleted it. It \
             is created again each time, but a pull in between fails. Stop what deletes it. After a restore, nothing is to \
             be done",
            self.creations.count()
        );
        Some((Failure::new(Reason::Contended, message), over_at))
    }

    /// Returns the report on a Secret of this name that is not created again until then.
    pub fn rest(&self, secret: &str, until: Timestamp) -> Failure {
        let message = format!(
            "the Secret {secret} was deleted {} times. The API server does not record who deleted it. It is created again \
             at {until:.0}. Stop what deletes it",
            self.creations.count()
        );
        Failure::new(Reason::Contended, message)
    }
}

#[cfg(test)]
mod tests {
    use super::Deletions;
    use crate::plan::fixture::at;

    /// Returns the deletions that were answered at these times.
    fn answered(times: impl IntoIterator<Item = i64>) -> Deletions {
        let mut deletions = Deletions::default();
        times.into_iter().for_each(|second| deletions.answered(at(second), "n"));
        deletions
    }

    #[test]
    fn the_third_deletion_is_reported_and_the_report_goes_soon_after_the_last() {
        for (times, now, expected) in [
            (vec![0], 1, None),
            (vec![0, 5], 6, None),
            (vec![0, 5, 10], 11, Some(3)),
            (vec![0, 5, 10, 15], 70, Some(4)),
            (vec![0, 5, 10], 71, None),
            // A tool that prunes every five minutes keeps it up.
            (vec![0, 300, 600], 1190, Some(3)),
            (vec![0, 300, 600], 1201, None),
            (vec![0, 2000, 4000], 4001, None),
        ] {
            let report = answered(times.clone()).report("n/ours", at(now));
            let count = report.map(|(failure, _)| failure.message.to_string());
            let expected = expected.map(|count| format!("the Secret n/ours was deleted {count} times"));
            assert_eq!(count.is_some(), expected.is_some(), "{times:?} at {now}: {count:?}");
            assert!(count.unwrap_or_default().starts_with(&expected.unwrap_or_default()), "{times:?}");
        }
    }

    #[test]
    fn no_writer_is_blamed() {
        let (failure, _) = answered([0, 1, 2]).report("n/ours", at(3)).unwrap();
        assert!(!failure.message.contains("written"), "{}", failure.message);
        assert!(failure.message.contains("does not record who"), "{}", failure.message);
    }

    #[test]
    fn the_report_ends_and_the_secret_returns_once_nothing_deletes_it() {
        let words = "Stop what deletes it";
        let often = answered([0, 1, 2]);
        let (report, over_at) = often.report("n/ours", at(3)).unwrap();
        assert!(report.message.contains(words), "{}", report.message);
        assert_eq!(often.report("n/ours", over_at).map(|(_, until)| until), Some(over_at));
        assert!(often.report("n/ours", over_at.checked_add(super::SHOWN).unwrap()).is_none());
        let resting = answered((0..11).map(|_| 0));
        let until = resting.quiet_until(at(0)).unwrap();
        let report = resting.rest("n/ours", until);
        assert!(report.message.contains(words), "{}", report.message);
        assert_eq!(resting.quiet_until(until), None);
    }

    #[test]
    fn a_secret_that_is_deleted_at_once_each_time_waits_for_half_a_minute_at_most() {
        let mut deletions = answered((0..11).map(|_| 0));
        let mut now = 0;
        for _ in 0..20 {
            let until = deletions.quiet_until(at(now)).expect("it rests");
            assert!(until <= at(now + 30), "{until}");
            now = until.as_second() - at(0).as_second() + 1;
            assert_eq!(deletions.quiet_until(at(now)), None);
            deletions.answered(at(now), "n");
            deletions.answered(at(now), "n");
        }
    }
}
