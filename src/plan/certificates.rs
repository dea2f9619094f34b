//! When the webhook's own certificates are made anew.
//!
//! # Guarantees
//! At every moment each certificate that a replica may still serve is signed by an authority that the
//! webhook configuration trusts: a new authority signs nothing before the configuration has named it for a while
//! (an API server learns of a configuration by a watch), and an old one stays until the last certificate that it
//! signed has ended by itself, so that a replica that has not seen the new one yet is believed as well.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// How long things live.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    /// An authority.
    pub authority: SignedDuration,
    /// A certificate that is served.
    pub leaf: SignedDuration,
    /// From the configuration that names a new authority to its first certificate.
    pub settle: SignedDuration,
}

impl Default for Lives {
    fn default() -> Self {
        Self {
            authority: SignedDuration::from_hours(365 * 24),
            leaf: SignedDuration::from_hours(90 * 24),
            settle: SignedDuration::from_secs(60),
        }
    }
}

/// What is known of an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Counts authorities.
    pub id: u64,
    /// From when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// When the last certificate that it signed ends.
    pub needed_until: Timestamp,
}

/// What is known of the certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Id of the authority that signed it.
    pub authority: u64,
    /// From when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
}

/// What stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// Oldest first.
    pub authorities: Vec<Authority>,
    /// What is served.
    pub leaf: Option<Leaf>,
}

/// Whether the API server knows the newest authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// No configuration stands, so nobody asks us anything yet.
    Unasked,
    /// A configuration stands that does not name it.
    NotYet,
    /// The configuration names it, at least since then.
    Since(Timestamp),
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing before this time.
    Keep(Timestamp),
    /// Make an authority.
    Found,
    /// Sign a certificate with this authority.
    Sign(u64),
    /// Trust this authority no longer.
    Forget(u64),
}

/// Two thirds of a life: time enough to mend whatever hinders the renewal.
fn due(since: Timestamp, until: Timestamp) -> Timestamp {
    since + until.duration_since(since) * 2 / 3
}

/// The next step, of which there is at most one at a time.
pub fn next(standing: &Certificates, names: &[String], trust: Trust, lives: &Lives, now: Timestamp) -> Step {
    let Some(newest) = standing.authorities.last().filter(|newest| now < newest.until) else {
        return Step::Found;
    };
    let trusted_at = match trust {
        Trust::Unasked => Some(now),
        Trust::Since(since) => Some(since + lives.settle),
        Trust::NotYet => None,
    };
    let trusted = trusted_at.is_some_and(|at| at <= now);
    let signer = match standing.authorities.iter().rev().nth(1).filter(|earlier| now < earlier.until) {
        Some(earlier) if !trusted => earlier,
        _ => newest,
    };
    let good = |leaf: &&Leaf| {
        let known = standing.authorities.iter().any(|authority| authority.id == leaf.authority);
        known && now < due(leaf.since, leaf.until) && leaf.names == names
    };
    let Some(leaf) = standing.leaf.as_ref().filter(good) else {
        return Step::Sign(signer.id);
    };
    let newest_due = due(newest.since, newest.until);
    if newest_due <= now {
        return Step::Found;
    }
    if leaf.authority != newest.id && trusted {
        return Step::Sign(newest.id);
    }
    let mut unused = standing.authorities.iter().filter(|a| a.id != newest.id && a.id != leaf.authority);
    if let Some(retired) = unused.clone().find(|authority| authority.needed_until <= now) {
        return Step::Forget(retired.id);
    }
    let first = due(leaf.since, leaf.until).min(newest_due);
    let first = unused.by_ref().map(|authority| authority.needed_until).fold(first, Timestamp::min);
    let changes_at = trusted_at.filter(|_| leaf.authority != newest.id);
    Step::Keep(changes_at.map_or(first, |at| first.min(at)))
}

/// When what is made now shall end. A certificate does not outlive its authority.
pub fn end(now: Timestamp, life: SignedDuration, authority: Option<&Authority>) -> Timestamp {
    let end = now + life;
    authority.map_or(end, |authority| end.min(authority.until))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::{SignedDuration, Timestamp};

    use super::{Authority, Certificates, Leaf, Lives, Step, Trust, end, next};
    use crate::plan::fixture::at;

    const LIVES: Lives = Lives {
        authority: SignedDuration::from_secs(300),
        leaf: SignedDuration::from_secs(90),
        settle: SignedDuration::from_secs(6),
    };

    fn names() -> Vec<String> {
        vec!["acr.svc".to_owned()]
    }

    /// Does what a step says.
    fn take(standing: &mut Certificates, step: Step, now: Timestamp) {
        match step {
            Step::Keep(_) => {}
            Step::Found => {
                let id = standing.authorities.last().map_or(1, |a| a.id + 1);
                let until = end(now, LIVES.authority, None);
                standing.authorities.push(Authority { id, since: now, until, needed_until: now });
            }
            Step::Sign(id) => {
                let authority = standing.authorities.iter_mut().find(|a| a.id == id).unwrap();
                let until = end(now, LIVES.leaf, Some(authority));
                authority.needed_until = authority.needed_until.max(until);
                standing.leaf = Some(Leaf { authority: id, since: now, until, names: names() });
            }
            Step::Forget(id) => standing.authorities.retain(|a| a.id != id),
        }
    }

    fn standing() -> Certificates {
        let mut standing = Certificates::default();
        take(&mut standing, Step::Found, at(0));
        take(&mut standing, Step::Sign(1), at(0));
        standing
    }

    fn step(standing: &Certificates, trust: Trust, seconds: i64) -> Step {
        next(standing, &names(), trust, &LIVES, at(seconds))
    }

    #[test]
    fn at_first_an_authority_is_made_and_then_what_it_signs() {
        let mut standing = Certificates::default();
        assert_eq!(step(&standing, Trust::Unasked, 0), Step::Found);
        take(&mut standing, Step::Found, at(0));
        assert_eq!(step(&standing, Trust::Unasked, 0), Step::Sign(1));
        take(&mut standing, Step::Sign(1), at(0));
        assert_eq!(step(&standing, Trust::Unasked, 0), Step::Keep(at(60)));
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life_or_for_other_names() {
        let standing = standing();
        assert_eq!(step(&standing, Trust::Since(at(0)), 59), Step::Keep(at(60)));
        assert_eq!(step(&standing, Trust::Since(at(0)), 60), Step::Sign(1));
        let other = ["other.svc".to_owned()];
        assert_eq!(next(&standing, &other, Trust::Since(at(0)), &LIVES, at(1)), Step::Sign(1));
    }

    #[test]
    fn a_new_authority_signs_nothing_before_it_is_trusted_for_a_while() {
        let mut standing = standing();
        take(&mut standing, Step::Sign(1), at(180));
        assert_eq!(step(&standing, Trust::Since(at(0)), 200), Step::Found);
        take(&mut standing, Step::Found, at(200));
        assert_eq!(step(&standing, Trust::NotYet, 200), Step::Keep(at(240)));
        assert_eq!(step(&standing, Trust::NotYet, 240), Step::Sign(1));
        assert_eq!(step(&standing, Trust::Since(at(201)), 206), Step::Keep(at(207)));
        assert_eq!(step(&standing, Trust::Since(at(201)), 207), Step::Sign(2));
    }

    #[test]
    fn an_old_authority_is_trusted_until_the_last_that_it_signed_has_ended() {
        let mut standing = standing();
        take(&mut standing, Step::Sign(1), at(180));
        take(&mut standing, Step::Found, at(200));
        take(&mut standing, Step::Sign(2), at(207));
        assert_eq!(step(&standing, Trust::Since(at(201)), 208), Step::Keep(at(267)));
        take(&mut standing, Step::Sign(2), at(267));
        assert_eq!(step(&standing, Trust::Since(at(201)), 269), Step::Keep(at(270)));
        assert_eq!(step(&standing, Trust::Since(at(201)), 270), Step::Forget(1));
    }

    #[test]
    fn what_has_ended_is_replaced_at_once() {
        let standing = standing();
        assert_eq!(step(&standing, Trust::Since(at(0)), 300), Step::Found);
        let mut late = standing.clone();
        take(&mut late, Step::Found, at(300));
        assert_eq!(step(&late, Trust::NotYet, 300), Step::Sign(2));
    }

    /// Ten lives of an authority, looked at every second, with a configuration that follows two seconds late.
    #[test]
    fn whatever_may_still_be_served_is_trusted_at_every_moment() {
        let mut standing = Certificates::default();
        let mut configured: (Vec<u64>, Timestamp) = (Vec::new(), at(0));
        let mut served: Vec<(u64, Timestamp)> = Vec::new();
        let mut founded = 0;
        for second in 0..3000 {
            let now = at(second);
            let newest = standing.authorities.last().map(|a| a.id);
            let trust = match newest {
                Some(id) if configured.0.contains(&id) => Trust::Since(configured.1),
                _ if configured.0.is_empty() => Trust::Unasked,
                _ => Trust::NotYet,
            };
            let step = next(&standing, &names(), trust, &LIVES, now);
            founded += usize::from(step == Step::Found);
            take(&mut standing, step, now);
            if let (Step::Sign(_), Some(leaf)) = (step, &standing.leaf) {
                served.push((leaf.authority, leaf.until));
            }
            let ids: Vec<u64> = standing.authorities.iter().map(|a| a.id).collect();
            if second % 2 == 1 && ids != configured.0 && standing.leaf.is_some() {
                configured = (ids, now);
            }
            for (authority, until) in &served {
                let trusted = configured.0.is_empty() || configured.0.contains(authority);
                assert!(*until <= now || trusted, "at {second}: {authority} of {configured:?}");
            }
            if second > 5 {
                assert!(standing.leaf.as_ref().is_some_and(|leaf| leaf.until > now), "at {second}");
            }
        }
        assert!((10..=20).contains(&founded), "{founded}");
        assert!(standing.authorities.len() <= 2);
    }
}
