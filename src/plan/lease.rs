//! Who may write: what to do about the lease, by what was seen of it and when.
//!
//! # Guarantees
//! - A claim ends a margin before anybody else may take the lease: it is counted from before the renewal was sent, and
//!   everybody else counts from when they saw that renewal, which is later.
//! - No wall clock enters. The times in the lease are for people and are compared, if at all, for equality.
//! - A lease is only ever written over the version that was seen, so that a late look can lose a race, never win it.
//!
//! # Assumptions
//! - Two processes that run at the same time have different names. A Pod's name and UID are such a name, and let a
//!   container that restarts in its Pod take its own lease up again at once.
//! - Monotonic clocks run at about the same speed: the margin is a fifth of the lease.
//!
//! # Caveats
//! A lease that nobody has ever held and one that was deleted and made again look alike. The first look of a process
//! takes such a lease at once only where no token was ever kept, which is a first installation.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

/// How long things take, all from the length of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimings {
    /// How long the lease lasts after a renewal.
    pub lease: Duration,
}

impl LeaseTimings {
    /// How long a claim lasts: it ends a margin before the lease does.
    pub fn claim(self) -> Duration {
        self.lease - self.lease / 5
    }

    /// From one renewal to the next.
    pub fn renewal(self) -> Duration {
        self.lease / 3
    }

    /// No call takes longer, so that a claim has room for a second try.
    pub fn deadline(self) -> Duration {
        self.lease / 5
    }

    /// How long the holder waits after a call that failed. Who holds nothing waits for a renewal's time.
    pub fn retry(self) -> Duration {
        self.lease / 15
    }
}

/// Who held a lease when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It was made, and nobody has written to it yet.
    Never,
    /// It was given back.
    Nobody,
    /// This one.
    Is(Box<str>),
}

/// The lease as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its `resourceVersion`.
    pub version: Box<str>,
    /// Who holds it.
    pub holder: Holder,
    /// When its holder took it, by the holder's wall clock. Tells two processes of one name apart.
    pub acquired: Option<Timestamp>,
    /// How long it lasts, as its holder says.
    pub lease: Option<Duration>,
    /// How often it went from one to another.
    pub transitions: i32,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until this time or until the lease is seen to change.
    Sleep(Option<Instant>),
    /// Read the lease.
    Read,
    /// Make an empty one: that gives it to nobody, so two that do it at once do no harm.
    Make,
    /// Write over this version: take the lease, or renew it.
    Write(Draft),
    /// End: nothing may be written any more.
    Lost(LeaseLost),
}

/// What is written into the lease, beside our name, its length and the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The version that is written over.
    pub version: Box<str>,
    /// When it was taken; `None`: it is taken now.
    pub acquired: Option<Timestamp>,
    /// How often it went from one to another, this time included.
    pub transitions: i32,
}

/// Why the lease is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseLost {
    /// It was not renewed in time.
    RanOut,
    /// Another holds it.
    Taken(Box<str>),
    /// Somebody gave it back in our name.
    GivenBack,
}

impl std::fmt::Display for LeaseLost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RanOut => f.write_str("it could not be renewed in time"),
            Self::Taken(by) => write!(f, "{by} holds it now"),
            Self::GivenBack => f.write_str("somebody emptied it"),
        }
    }
}

/// What our side holds.
#[derive(Clone, Debug)]
struct Claim {
    acquired: Option<Timestamp>,
    end: Instant,
    renew_at: Instant,
}

/// What was seen of the lease.
#[derive(Clone, Debug)]
enum Seen {
    /// Nobody has looked yet.
    Unknown,
    Absent,
    Present(Record),
}

/// One side of the race for the lease.
#[derive(Clone, Debug)]
pub struct Election {
    name: Box<str>,
    timings: LeaseTimings,
    /// A dry run: it never takes the lease, and works while nobody holds it.
    only_watches: bool,
    /// Ready to do the work: before that the lease is looked at and left to others.
    stands: bool,
    seen: Seen,
    /// Nothing was seen that a controller which works here would have left.
    first_ever: bool,
    /// When the lease may be taken, unless it changes until then.
    free_at: Instant,
    claim: Option<Claim>,
    /// What was seen last may be old.
    doubtful: bool,
    /// Nothing is asked before, after a call that failed.
    quiet_until: Option<Instant>,
}

impl Election {
    /// Nothing is seen yet. `worked_before`: there are signs that a controller has worked here, so a lease that is
    /// absent may have been deleted under one that still counts on it.
    pub fn new(name: &str, timings: LeaseTimings, worked_before: bool, now: Instant) -> Self {
        Self {
            name: name.into(),
            timings,
            only_watches: false,
            stands: false,
            seen: Seen::Unknown,
            first_ever: !worked_before,
            free_at: now,
            claim: None,
            doubtful: false,
            quiet_until: None,
        }
    }

    /// As [`Self::new`], for a dry run: it reports what a controller would do, which nobody needs beside one that does
    /// it, and both would write the same statuses. So it claims only while the lease is free, never takes it, and ends
    /// when a controller does.
    pub fn watching(name: &str, timings: LeaseTimings, worked_before: bool, now: Instant) -> Self {
        Self { only_watches: true, ..Self::new(name, timings, worked_before, now) }
    }

    /// From here on the lease is taken when it is free.
    pub fn become_candidate(&mut self) {
        self.stands = true;
    }

    /// Until when writing is allowed, if it is.
    pub fn claim_end(&self) -> Option<Instant> {
        self.claim.as_ref().map(|claim| claim.end)
    }

    /// Who else holds the lease, as far as is known.
    pub fn other(&self) -> Option<&str> {
        match &self.seen {
            Seen::Present(Record { holder: Holder::Is(name), .. }) if *name != self.name => Some(name),
            _ => None,
        }
    }

    /// How the lease stands when it is given back: the version to write over, where it is ours.
    pub fn ours(&self) -> Option<&Record> {
        match &self.seen {
            Seen::Present(record) if !self.only_watches && self.holds(record) => Some(record),
            _ => None,
        }
    }

    fn holds(&self, record: &Record) -> bool {
        let mine = |name: &str| *name == *self.name;
        matches!(&record.holder, Holder::Is(name) if mine(name))
            && self.claim.as_ref().is_some_and(|claim| claim.acquired == record.acquired)
    }

    /// Takes in what a watch shows. It may be older than what is known.
    pub fn hint(&mut self, record: Option<Record>, now: Instant) {
        if self.claim.is_none() {
            return self.see(record, now);
        }
        let fine = if self.only_watches {
            record.as_ref().is_none_or(|record| !matches!(record.holder, Holder::Is(_)))
        } else {
            record.as_ref().is_some_and(|record| self.holds(record))
        };
        self.doubtful |= !fine;
    }

    /// Takes in what a read brought that was sent at `sent`.
    pub fn read(&mut self, record: Option<Record>, sent: Instant, now: Instant) {
        self.settle();
        self.see(record, now);
        if self.only_watches && self.stands && now >= self.free_at {
            self.claim_from(sent, None);
        }
    }

    /// Takes in the lease as it stands after our write, which was sent at `sent`.
    pub fn written(&mut self, record: Record, sent: Instant, now: Instant) {
        self.settle();
        let acquired = record.acquired;
        self.see(Some(record), now);
        self.claim_from(sent, acquired);
    }

    /// Takes in that another write came first: what is known is old.
    pub fn outrun(&mut self) {
        self.doubtful = true;
    }

    /// Takes in that a call failed. It may have been carried out all the same.
    pub fn failed(&mut self, now: Instant) {
        self.doubtful = true;
        let wait = if self.claim.is_some() { self.timings.retry() } else { self.timings.renewal() };
        self.quiet_until = Some(now + wait);
    }

    fn settle(&mut self) {
        self.doubtful = false;
        self.quiet_until = None;
    }

    fn claim_from(&mut self, sent: Instant, acquired: Option<Timestamp>) {
        let (end, renew_at) = (sent + self.timings.claim(), sent + self.timings.renewal());
        self.claim = Some(Claim { acquired, end, renew_at });
    }

    fn see(&mut self, record: Option<Record>, now: Instant) {
        let version = |seen: &Seen| match seen {
            Seen::Present(record) => Some(record.version.clone()),
            _ => None,
        };
        let next = record.map_or(Seen::Absent, Seen::Present);
        if !matches!(self.seen, Seen::Unknown) && version(&self.seen) == version(&next) {
            return;
        }
        match &next {
            Seen::Unknown | Seen::Absent => {}
            // A lease that nobody has written to may stand in place of one that was deleted under its holder.
            Seen::Present(Record { holder: Holder::Never, .. }) if self.first_ever => {}
            Seen::Present(Record { holder: Holder::Never, .. }) => self.free_at = now + self.timings.lease,
            Seen::Present(Record { holder: Holder::Nobody, .. }) => self.free_at = now,
            Seen::Present(Record { holder: Holder::Is(name), .. }) if *name == self.name => {
                self.free_at = now;
            }
            Seen::Present(Record { holder: Holder::Is(_), lease, .. }) => {
                self.free_at = now + lease.unwrap_or(self.timings.lease);
            }
        }
        let held = matches!(&next, Seen::Present(Record { holder: Holder::Is(_) | Holder::Nobody, .. }));
        self.first_ever &= !held;
        self.seen = next;
    }

    /// What to do now.
    pub fn next(&self, now: Instant) -> Step {
        let end = self.claim_end();
        if end.is_some_and(|end| now >= end) {
            return Step::Lost(LeaseLost::RanOut);
        }
        let sleep = |until: Instant| Step::Sleep(Some(end.map_or(until, |end| end.min(until))));
        if let Some(until) = self.quiet_until.filter(|until| now < *until) {
            return sleep(until);
        }
        if self.doubtful {
            return Step::Read;
        }
        let record = match &self.seen {
            Seen::Unknown => return Step::Read,
            Seen::Absent => None,
            Seen::Present(record) => Some(record),
        };
        if !self.stands {
            return Step::Sleep(None);
        }
        match &self.claim {
            _ if self.only_watches => self.next_watching(now, &sleep),
            None => match record {
                None => Step::Make,
                Some(_) if now < self.free_at => sleep(self.free_at),
                Some(record) => Step::Write(self.draft(record)),
            },
            Some(claim) => match record {
                Some(record) if self.holds(record) && now < claim.renew_at => sleep(claim.renew_at),
                Some(record) if self.holds(record) || record.holder == Holder::Never => {
                    Step::Write(self.draft(record))
                }
                // It was deleted, and nobody may take it before our claim ends.
                None => Step::Make,
                Some(Record { holder: Holder::Is(name), .. }) => Step::Lost(LeaseLost::Taken(name.clone())),
                Some(_) => Step::Lost(LeaseLost::GivenBack),
            },
        }
    }

    fn next_watching(&self, now: Instant, sleep: &dyn Fn(Instant) -> Step) -> Step {
        match &self.claim {
            Some(_) if now < self.free_at => {
                Step::Lost(LeaseLost::Taken(self.other().unwrap_or("a controller").into()))
            }
            Some(claim) if now < claim.renew_at => sleep(claim.renew_at),
            None if now < self.free_at => sleep(self.free_at),
            _ => Step::Read,
        }
    }

    fn draft(&self, record: &Record) -> Draft {
        let version = record.version.clone();
        let mine = matches!(&record.holder, Holder::Is(name) if *name == self.name);
        Draft {
            version,
            acquired: self.claim.as_ref().and_then(|claim| claim.acquired),
            transitions: match record.holder {
                Holder::Never => 0,
                _ if mine => record.transitions,
                _ => record.transitions.saturating_add(1),
            },
        }
    }
}

#[cfg(test)]
mod tests;
