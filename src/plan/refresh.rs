//! The times of renewals and retries.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::model::Credential;

/// The largest shares of the lifetime that the lead and the jitter may take. A token that is shorter than the threshold
/// would otherwise be renewed without end.
const LEAD_SHARE: f64 = 0.5;
const JITTER_SHARE: f64 = 0.1;

/// The longest lifetime that is believed. A token is documented to be valid as long as the session that mints it, and RAM
/// allows sessions of 12 hours at most.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(12);

/// The share of its use after which a credential may be renewed together with others.
const SETTLED_SHARE: f64 = 0.25;

/// The lifetime of a credential.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// When it was minted.
    pub minted_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// A round of renewals.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// When it begins.
    pub now: Timestamp,
    /// The time until the next one.
    pub length: Duration,
}

impl Life {
    /// Returns the lifetime of a credential.
    pub fn of(credential: &Credential) -> Self {
        Self { minted_at: credential.minted_at, expires_at: credential.expires_at }
    }

    /// Returns until when it is relied on, by which it is renewed: its expiry, or an earlier time if that is far beyond
    /// what is documented.
    pub fn trusted_until(&self) -> Timestamp {
        let longest = self.minted_at.checked_add(LONGEST_LIFE).unwrap_or(Timestamp::MAX);
        self.expires_at.min(longest)
    }

    fn length(&self) -> Duration {
        Duration::try_from(self.trusted_until().duration_since(self.minted_at)).unwrap_or_default()
    }

    /// Returns how long before its expiry it is renewed: the threshold, but never more than half the lifetime.
    fn lead(&self, threshold: Duration) -> Duration {
        threshold.min(self.length().mul_f64(LEAD_SHARE))
    }

    /// Returns when it is due: `lead` before its trusted end, and earlier by a jitter that is always the same for one seed.
    pub fn due_at(&self, threshold: Duration, seed: &str) -> Timestamp {
        let room = self.length().saturating_sub(self.lead(threshold)).mul_f64(JITTER_SHARE);
        let jitter = room.mul_f64(unit(&(seed, "refresh")));
        back(self.trusted_until(), self.lead(threshold) + jitter)
    }

    /// Returns how long it is used at most.
    pub fn use_length(&self, threshold: Duration) -> Duration {
        self.length().saturating_sub(self.lead(threshold))
    }

    /// Returns how long before its time it is renewed together with one that is missing or had to be replaced.
    pub fn short_round(&self) -> Duration {
        self.length().mul_f64(JITTER_SHARE)
    }

    /// Returns whether it is renewed with the others of a round. It would be due before the next one, and a round of its
    /// own would cost each namespace another write. One that was minted a moment ago waits for the next round.
    pub fn joins(&self, threshold: Duration, seed: &str, round: &Round) -> bool {
        let used = Duration::try_from(round.now.duration_since(self.minted_at)).unwrap_or_default();
        let settled = used >= self.use_length(threshold).mul_f64(SETTLED_SHARE);
        settled && back(self.due_at(threshold, seed), round.length) <= round.now
    }

    /// Returns whether it has expired.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }
}

/// Returns how long to wait before a retry: doubled from `first` to `most`, less up to a quarter that is
/// the same for one seed and attempt.
pub fn backoff(attempt: u32, first: Duration, most: Duration, seed: &str) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1).min(20))).min(most);
    doubled.mul_f64(1.0 - 0.25 * unit(&(seed, attempt)))
}

fn back(from: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| from.checked_sub(by).ok()).unwrap_or(from)
}

/// Returns a number in [0, 1) that is the same for equal values.
fn unit(value: &impl Hash) -> f64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    #[expect(clippy::cast_precision_loss, reason = "a jitter needs no more than 53 bits")]
    let unit = (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64;
    unit
}

#[cfg(test)]
mod tests {
    use super::{Life, Round, backoff};
    use k8s_openapi::jiff::{SignedDuration, Timestamp};
    use proptest::prelude::*;
    use std::time::Duration;

    const MINUTE: u64 = 60;

    fn life(minutes: i64) -> Life {
        let minted_at = Timestamp::from_second(1_800_000_000).unwrap();
        Life { minted_at, expires_at: minted_at + SignedDuration::from_mins(minutes) }
    }

    fn minutes_used(life: Life, threshold: u64, seed: &str) -> f64 {
        life.due_at(Duration::from_secs(threshold * MINUTE), seed)
            .duration_since(life.minted_at)
            .as_secs_f64()
            / 60.0
    }

    #[test]
    fn an_hour_with_the_default_threshold_is_used_for_about_three_quarters() {
        let used = minutes_used(life(60), 15, "a");
        assert!((40.0..=45.0).contains(&used), "{used}");
    }

    #[test]
    fn a_token_of_five_minutes_is_not_expiring_when_it_is_minted() {
        let used = minutes_used(life(5), 15, "a");
        assert!((2.0..=2.5).contains(&used), "{used}");
    }

    /// The cloud may claim ten years. Then it is refreshed as the longest that is documented, and stays valid meanwhile.
    #[test]
    fn an_expiry_beyond_what_is_documented_is_not_relied_on() {
        let ten_years = life(10 * 365 * 24 * 60);
        let used = minutes_used(ten_years, 15, "a");
        assert!((600.0..=12.0 * 60.0 - 15.0).contains(&used), "{used}");
        let later = ten_years.minted_at + SignedDuration::from_hours(100);
        assert!(!ten_years.is_over(later), "what is not renewed still counts");
        let joins = |hours| {
            let now = ten_years.minted_at + SignedDuration::from_hours(hours);
            ten_years.joins(Duration::from_secs(900), "a", &Round { now, length: Duration::from_secs(3600) })
        };
        assert!(joins(11) && !joins(5));
        assert!(
            (minutes_used(life(12 * 60), 15, "a") - used).abs() < 1.0,
            "the longest documented one is whole"
        );
    }

    #[test]
    fn a_credential_joins_a_round_if_it_would_be_due_before_the_next_one() {
        let minute = |m: u64| Duration::from_secs(m * MINUTE);
        let joins = |life: Life, age: i64, round: u64| {
            let now = life.minted_at + SignedDuration::from_mins(age);
            life.joins(minute(15), "a", &Round { now, length: minute(round) })
        };
        // An hour's credential, used for 40 to 45 minutes, beside others that come back in 45.
        assert!(!joins(life(60), 5, 45), "it was minted a moment ago");
        assert!(joins(life(60), 12, 45));
        assert!(joins(life(60), 40, 45));
        // Six hours' beside the same: its time comes in a later round.
        assert!(!joins(life(360), 200, 45));
        assert!(joins(life(360), 320, 45));
    }

    #[test]
    fn the_jitter_is_stable_and_spreads() {
        let due = |seed: &str| life(60).due_at(Duration::from_secs(900), seed);
        assert_eq!(due("a"), due("a"));
        assert_ne!(due("a"), due("b"));
    }

    #[test]
    fn the_back_off_doubles_up_to_its_most() {
        let wait =
            |attempt| backoff(attempt, Duration::from_secs(1), Duration::from_secs(300), "a").as_secs_f64();
        assert!((0.75..=1.0).contains(&wait(1)), "{}", wait(1));
        assert!((3.0..=4.0).contains(&wait(3)), "{}", wait(3));
        assert!((225.0..=300.0).contains(&wait(4_000_000_000)), "{}", wait(4_000_000_000));
    }

    proptest! {
        #[test]
        fn a_credential_is_used_for_some_time_and_renewed_before_its_end(
            minutes in 1_i64..10_000, threshold in 0_u64..1_000, seed: String
        ) {
            let life = life(minutes);
            let due = life.due_at(Duration::from_secs(threshold * MINUTE), &seed);
            prop_assert!(due > life.minted_at && due <= life.expires_at);
            let threshold = Duration::from_secs(threshold * MINUTE);
            let at = |now, length| life.joins(threshold, &seed, &Round { now, length });
            prop_assert!(!at(life.minted_at, Duration::MAX), "not when it is minted");
            prop_assert!(at(due, Duration::ZERO), "when it is due anyway");
        }
    }
}
