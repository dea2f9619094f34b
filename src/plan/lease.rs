//! The next step for the Lease, from its last observations and their times.
//!
//! # Guarantees
//! - A claim ends a margin before any other replica may take the lease. It counts from before the renewal was sent. The
//!   others count from when they saw that renewal, which is later.
//! - No wall clock is read. The times in the lease are for people, and are compared for equality at most.
//! - A lease is written only over the version that was seen, so that an outdated view can lose a race, never win it.
//! - While the work of this replica does not run, it neither acquires the lease nor renews it.
//!
//! # Assumptions
//! - Two processes that run at the same time have different names. A Pod's name and UID are such a name. A container
//!   that restarts in its Pod takes its own lease again at once.
//! - Monotonic clocks run at about the same speed: the margin is a fifth of the lease.
//!
//! # Caveats
//! A lease that was never held and one that was deleted and made again look alike. A process takes such a lease at once,
//! at its first read, only where no token was ever saved, which is a first installation.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

/// Durations of the election, all from the length of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimings {
    /// How long the lease lasts after a renewal.
    pub lease: Duration,
}

impl LeaseTimings {
    /// Returns how long a claim lasts: it ends a margin before the lease does.
    pub fn claim(self) -> Duration {
        self.lease - self.lease / 5
    }

    /// Returns the time from one renewal to the next.
    pub fn renewal(self) -> Duration {
        self.lease / 3
    }

    /// Returns the longest duration of a call, so that a claim has room for a second try.
    pub fn deadline(self) -> Duration {
        self.lease / 5
    }

    /// Returns how long the holder waits after a call that failed. Others wait for a renewal's time.
    pub fn retry(self) -> Duration {
        self.lease / 15
    }
}

/// Holder of a lease when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It was created, and never written since.
    NeverHeld,
    /// Its holder released it.
    Released,
    /// This replica holds it.
    HeldBy(Box<str>),
}

/// The Lease object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Its `resourceVersion`.
    pub version: Box<str>,
    /// Its holder.
    pub holder: Holder,
    /// When its holder acquired it, by the holder's wall clock. Two processes of one name differ in it.
    pub acquired: Option<Timestamp>,
    /// How long it lasts, as its holder wrote.
    pub lease: Option<Duration>,
    /// Number of changes of its holder.
    pub transitions: i32,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseStep {
    /// Wait until this time, or until the lease changes.
    Wait(Option<Instant>),
    /// Read the lease.
    Read,
    /// Create an empty one. It has no holder, so two replicas may do so at once.
    Create,
    /// Write over this version: acquire the lease, or renew it.
    Write(LeaseUpdate),
    /// End: nothing may be written any more.
    Lost(LeaseLost),
}

/// The part of a write that is not our name, the length or the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseUpdate {
    /// The version that is written over.
    pub version: Box<str>,
    /// When the lease was acquired; `None`: with this write.
    pub acquired: Option<Timestamp>,
    /// Number of changes of the holder, this one included.
    pub transitions: i32,
}

/// Reason why the lease is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseLost {
    /// It was not renewed in time.
    Expired,
    /// Another replica holds it.
    Taken(Box<str>),
    /// It was released in our name.
    Released,
}

impl std::fmt::Display for LeaseLost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Expired => f.write_str("it could not be renewed in time"),
            Self::Taken(by) => write!(f, "{by} holds it now"),
            Self::Released => f.write_str("another process released it"),
        }
    }
}

/// Our right to write.
#[derive(Clone, Debug)]
struct HeldClaim {
    acquired: Option<Timestamp>,
    end: Instant,
    renew_at: Instant,
}

/// The last observation of the lease.
#[derive(Clone, Debug)]
enum LastObserved {
    /// It was not read yet.
    Unknown,
    Absent,
    Present(LeaseRecord),
}

/// One replica in the election.
#[derive(Clone, Debug)]
pub struct Election {
    name: Box<str>,
    timings: LeaseTimings,
    /// A dry run: it never takes the lease, and works while no replica holds it.
    only_watches: bool,
    /// Ready to work: before that it reads the lease and leaves it to others.
    is_candidate: bool,
    observed: LastObserved,
    /// Nothing was seen that an earlier controller would have left.
    first_installation: bool,
    /// When the lease may be taken, unless it changes until then.
    free_at: Instant,
    claim: Option<HeldClaim>,
    /// The last observation may be outdated.
    outdated: bool,
    /// After a call that failed, no call is made before this time.
    quiet_until: Option<Instant>,
    /// The work of this replica does not run.
    is_stopped: bool,
}

impl Election {
    /// Returns a replica that has read nothing yet. `worked_before`: a controller has worked here, so a lease that is
    /// absent may have been deleted under its holder.
    pub fn new(name: &str, timings: LeaseTimings, worked_before: bool, now: Instant) -> Self {
        Self {
            name: name.into(),
            timings,
            only_watches: false,
            is_candidate: false,
            observed: LastObserved::Unknown,
            first_installation: !worked_before,
            free_at: now,
            claim: None,
            outdated: false,
            quiet_until: None,
            is_stopped: false,
        }
    }

    /// Returns a replica for a dry run. It reports what a controller would do, so it is not needed beside one, and both
    /// would write the same statuses. It claims only while the lease is free, never takes it, and ends when a
    /// controller does.
    pub fn watching(name: &str, timings: LeaseTimings, worked_before: bool, now: Instant) -> Self {
        Self { only_watches: true, ..Self::new(name, timings, worked_before, now) }
    }

    /// Makes this replica a candidate: from here on it takes the lease when that is free.
    pub fn become_candidate(&mut self) {
        self.is_candidate = true;
    }

    /// Records whether the work of this replica has stopped. A leader that does nothing must make room for another one:
    /// its claim ends as if it could not reach the API server.
    pub fn set_stopped(&mut self, is_stopped: bool) {
        self.is_stopped = is_stopped;
    }

    /// Returns until when writing is allowed, if it is.
    pub fn claim_end(&self) -> Option<Instant> {
        self.claim.as_ref().map(|claim| claim.end)
    }

    /// Returns the other replica that holds the lease, as far as is known.
    pub fn other(&self) -> Option<&str> {
        match &self.observed {
            LastObserved::Present(LeaseRecord { holder: Holder::HeldBy(name), .. }) if *name != self.name => {
                Some(name)
            }
            _ => None,
        }
    }

    /// Returns the lease to release, where it is ours.
    pub fn ours(&self) -> Option<&LeaseRecord> {
        match &self.observed {
            LastObserved::Present(record) if !self.only_watches && self.holds(record) => Some(record),
            _ => None,
        }
    }

    fn holds(&self, record: &LeaseRecord) -> bool {
        let mine = |name: &str| *name == *self.name;
        matches!(&record.holder, Holder::HeldBy(name) if mine(name))
            && self.claim.as_ref().is_some_and(|claim| claim.acquired == record.acquired)
    }

    /// Records what a watch shows. It may be older than what is known.
    pub fn hint(&mut self, record: Option<LeaseRecord>, now: Instant) {
        if self.claim.is_none() {
            return self.observe(record, now);
        }
        let fine = if self.only_watches {
            record.as_ref().is_none_or(|record| !matches!(record.holder, Holder::HeldBy(_)))
        } else {
            record.as_ref().is_some_and(|record| self.holds(record))
        };
        self.outdated |= !fine;
    }

    /// Records the answer to a read that was sent at `sent`.
    pub fn read(&mut self, record: Option<LeaseRecord>, sent: Instant, now: Instant) {
        self.settle();
        self.observe(record, now);
        if self.only_watches && self.is_candidate && now >= self.free_at {
            self.claim_from(sent, None);
        }
    }

    /// Records the lease after our write, which was sent at `sent`.
    pub fn written(&mut self, record: LeaseRecord, sent: Instant, now: Instant) {
        self.settle();
        let acquired = record.acquired;
        self.observe(Some(record), now);
        self.claim_from(sent, acquired);
    }

    /// Records that another write came first: the last observation is outdated.
    pub fn lost_race(&mut self) {
        self.outdated = true;
    }

    /// Records that a call failed. It may have taken effect all the same.
    pub fn failed(&mut self, now: Instant) {
        self.outdated = true;
        let wait = if self.claim.is_some() { self.timings.retry() } else { self.timings.renewal() };
        self.quiet_until = Some(now + wait);
    }

    fn settle(&mut self) {
        self.outdated = false;
        self.quiet_until = None;
    }

    fn claim_from(&mut self, sent: Instant, acquired: Option<Timestamp>) {
        let (end, renew_at) = (sent + self.timings.claim(), sent + self.timings.renewal());
        self.claim = Some(HeldClaim { acquired, end, renew_at });
    }

    fn observe(&mut self, record: Option<LeaseRecord>, now: Instant) {
        let version = |observed: &LastObserved| match observed {
            LastObserved::Present(record) => Some(record.version.clone()),
            _ => None,
        };
        let next = record.map_or(LastObserved::Absent, LastObserved::Present);
        if !matches!(self.observed, LastObserved::Unknown) && version(&self.observed) == version(&next) {
            return;
        }
        if let LastObserved::Present(record) = &next {
            match &record.holder {
                // A lease that was never written may replace one that was deleted under its holder.
                Holder::NeverHeld if self.first_installation => {}
                Holder::NeverHeld => self.free_at = now + self.timings.lease,
                Holder::Released => self.free_at = now,
                Holder::HeldBy(name) if *name == self.name => self.free_at = now,
                Holder::HeldBy(_) => self.free_at = now + record.lease.unwrap_or(self.timings.lease),
            }
            self.first_installation &= record.holder == Holder::NeverHeld;
        }
        self.observed = next;
    }

    /// Returns the next step.
    pub fn next(&self, now: Instant) -> LeaseStep {
        let end = self.claim_end();
        if end.is_some_and(|end| now >= end) {
            return LeaseStep::Lost(LeaseLost::Expired);
        }
        let wait = |until: Instant| LeaseStep::Wait(Some(end.map_or(until, |end| end.min(until))));
        if self.is_stopped {
            return wait(now + self.timings.retry());
        }
        if let Some(until) = self.quiet_until.filter(|until| now < *until) {
            return wait(until);
        }
        if self.outdated {
            return LeaseStep::Read;
        }
        let record = match &self.observed {
            LastObserved::Unknown => return LeaseStep::Read,
            LastObserved::Absent => None,
            LastObserved::Present(record) => Some(record),
        };
        if !self.is_candidate {
            return LeaseStep::Wait(None);
        }
        match &self.claim {
            _ if self.only_watches => self.next_watching(now, &wait),
            None => match record {
                None => LeaseStep::Create,
                Some(_) if now < self.free_at => wait(self.free_at),
                Some(record) => LeaseStep::Write(self.update(record)),
            },
            Some(claim) => match record {
                Some(record) if self.holds(record) && now < claim.renew_at => wait(claim.renew_at),
                Some(record) if self.holds(record) || record.holder == Holder::NeverHeld => {
                    LeaseStep::Write(self.update(record))
                }
                // It was deleted, and no other replica may take it before our claim ends.
                None => LeaseStep::Create,
                Some(LeaseRecord { holder: Holder::HeldBy(name), .. }) => {
                    LeaseStep::Lost(LeaseLost::Taken(name.clone()))
                }
                Some(_) => LeaseStep::Lost(LeaseLost::Released),
            },
        }
    }

    fn next_watching(&self, now: Instant, wait: &dyn Fn(Instant) -> LeaseStep) -> LeaseStep {
        match &self.claim {
            Some(_) if now < self.free_at => {
                LeaseStep::Lost(LeaseLost::Taken(self.other().unwrap_or("a controller").into()))
            }
            Some(claim) if now < claim.renew_at => wait(claim.renew_at),
            None if now < self.free_at => wait(self.free_at),
            _ => LeaseStep::Read,
        }
    }

    fn update(&self, record: &LeaseRecord) -> LeaseUpdate {
        let version = record.version.clone();
        let mine = matches!(&record.holder, Holder::HeldBy(name) if *name == self.name);
        LeaseUpdate {
            version,
            acquired: self.claim.as_ref().and_then(|claim| claim.acquired),
            transitions: match record.holder {
                Holder::NeverHeld => 0,
                _ if mine => record.transitions,
                _ => record.transitions.saturating_add(1),
            },
        }
    }
}

#[cfg(test)]
mod tests;
