//! When somebody else wants the same object otherwise: we step back, since two that overwrite each other serve nobody.

use std::collections::VecDeque;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::refresh::backoff;

/// Repairs of one object within [`WINDOW`] that are no fight yet. An edit by hand, a rollout or a refresh takes a few.
const MOST: usize = 10;

/// The span that repairs are counted over.
const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// A fight that rested for so long is over.
const FORGOTTEN: SignedDuration = SignedDuration::from_mins(15);

/// The writes of one object.
#[derive(Clone, Debug, Default)]
pub struct Rivalry {
    writes: VecDeque<Timestamp>,
    lost: u32,
    quiet_until: Option<Timestamp>,
}

impl Rivalry {
    /// Takes a write in.
    pub fn wrote(&mut self, now: Timestamp, seed: &str) {
        if self.is_over(now) {
            *self = Self::default();
        }
        while self.writes.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            self.writes.pop_front();
        }
        self.writes.push_back(now);
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
        self.quiet_until.filter(|until| now < *until)
    }

    /// Whether there is nothing to remember.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let last = self.writes.back().copied().max(self.quiet_until);
        let rest = if self.lost == 0 { WINDOW } else { FORGOTTEN };
        last.is_none_or(|last| now.duration_since(last) > rest)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::{MOST, Rivalry};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// A rivalry after `count` writes, one each `step` seconds, and the time of the last one.
    fn after(count: usize, step: i64) -> (Rivalry, i64) {
        let mut rivalry = Rivalry::default();
        let mut now = 0;
        for _ in 0..count {
            now += step;
            rivalry.wrote(at(now), "ns");
        }
        (rivalry, now)
    }

    #[test]
    fn some_repairs_are_no_fight_and_slow_ones_never_are() {
        let (rivalry, now) = after(MOST, 1);
        assert_eq!(rivalry.quiet_until(at(now)), None);
        let (rivalry, now) = after(1000, 7);
        assert_eq!(rivalry.quiet_until(at(now)), None);
    }

    #[test]
    fn a_fight_is_left_for_a_while_and_for_longer_each_time() {
        let (mut rivalry, mut now) = after(MOST + 1, 1);
        let mut last = 0;
        for _ in 0..4 {
            let until = rivalry.quiet_until(at(now)).expect("stepped back");
            let wait = until.as_second() - at(now).as_second();
            assert!(wait > last, "{wait} after {last}");
            last = wait;
            now += wait + 1;
            assert_eq!(rivalry.quiet_until(at(now)), None);
            // One more try, which the rival undoes at once.
            rivalry.wrote(at(now), "ns");
            assert_eq!(rivalry.quiet_until(at(now)), None);
            rivalry.wrote(at(now), "ns");
        }
    }

    #[test]
    fn a_fight_that_rests_is_forgotten() {
        let (mut rivalry, now) = after(MOST + 1, 1);
        assert!(!rivalry.is_over(at(now + 600)));
        assert!(rivalry.is_over(at(now + 3600)));
        rivalry.wrote(at(now + 3600), "ns");
        rivalry.wrote(at(now + 3601), "ns");
        assert_eq!(rivalry.quiet_until(at(now + 3601)), None);
        assert!(Rivalry::default().is_over(at(0)));
    }
}
