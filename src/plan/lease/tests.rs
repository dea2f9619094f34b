use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

use super::{Election, Holder, LeaseLost, LeaseRecord, LeaseStep, LeaseTimings, LeaseUpdate};

const TIMINGS: LeaseTimings = LeaseTimings { lease: Duration::from_secs(15) };

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn record(version: &str, holder: Holder) -> LeaseRecord {
    let held = holder != Holder::NeverHeld;
    LeaseRecord {
        version: version.into(),
        acquired: held.then(|| at(1)),
        lease: held.then(|| seconds(15)),
        transitions: i32::from(held),
        holder,
    }
}

fn by(version: &str, name: &str) -> LeaseRecord {
    record(version, Holder::HeldBy(name.into()))
}

/// Returns a candidate that has read the lease once.
fn candidate(record: Option<LeaseRecord>, worked_before: bool, now: Instant) -> Election {
    let mut election = Election::new("a", TIMINGS, worked_before, now);
    assert_eq!(election.next(now), LeaseStep::Read);
    election.read(record, now, now);
    assert_eq!(election.next(now), LeaseStep::Wait(None), "it is not ready yet");
    election.become_candidate();
    election
}

fn leader(now: Instant) -> Election {
    let mut election = candidate(Some(record("1", Holder::Released)), true, now);
    assert!(matches!(election.next(now), LeaseStep::Write(_)));
    election.written(by("2", "a"), now, now);
    election
}

#[test]
fn timings_leave_room_for_a_second_try_within_the_claim_and_a_margin_after_it() {
    for lease in [3, 15, 60].map(seconds) {
        let timings = LeaseTimings { lease };
        assert!(timings.renewal() + 2 * timings.deadline() + timings.retry() <= timings.claim());
        assert!(timings.claim() + timings.deadline() <= lease);
    }
}

#[test]
fn a_lease_that_another_holds_is_taken_after_its_length_without_a_change() {
    let start = Instant::now();
    let mut election = candidate(Some(by("1", "b")), true, start);
    assert_eq!(election.next(start), LeaseStep::Wait(Some(start + seconds(15))));
    // A renewal counts from when it was seen, not by its holder's clock.
    election.hint(Some(by("2", "b")), start + seconds(10));
    assert_eq!(election.next(start + seconds(24)), LeaseStep::Wait(Some(start + seconds(25))));
    let draft = LeaseUpdate { version: "2".into(), acquired: None, transitions: 2 };
    assert_eq!(election.next(start + seconds(25)), LeaseStep::Write(draft));
    // Seen again unchanged, it is as old as before.
    election.hint(Some(by("2", "b")), start + seconds(25));
    assert!(matches!(election.next(start + seconds(25)), LeaseStep::Write(_)));
}

/// Versions with different flags may run side by side.
#[test]
fn the_length_that_the_holder_wrote_counts() {
    let start = Instant::now();
    let long = LeaseRecord { lease: Some(seconds(60)), ..by("1", "b") };
    assert_eq!(candidate(Some(long), true, start).next(start), LeaseStep::Wait(Some(start + seconds(60))));
}

#[test]
fn a_released_lease_and_our_own_from_before_a_restart_are_taken_at_once() {
    let start = Instant::now();
    let election = candidate(Some(record("7", Holder::Released)), true, start);
    assert_eq!(
        election.next(start),
        LeaseStep::Write(LeaseUpdate { version: "7".into(), acquired: None, transitions: 2 })
    );
    let election = candidate(Some(by("7", "a")), true, start);
    assert_eq!(
        election.next(start),
        LeaseStep::Write(LeaseUpdate { version: "7".into(), acquired: None, transitions: 1 })
    );
}

#[test]
fn a_missing_lease_is_taken_at_once_only_in_a_first_installation() {
    let start = Instant::now();
    let mut first = candidate(None, false, start);
    assert_eq!(first.next(start), LeaseStep::Create);
    first.read(Some(record("1", Holder::NeverHeld)), start, start);
    assert_eq!(
        first.next(start),
        LeaseStep::Write(LeaseUpdate { version: "1".into(), acquired: None, transitions: 0 })
    );

    let mut later = candidate(None, true, start);
    assert_eq!(later.next(start), LeaseStep::Create, "an empty one has no holder");
    later.read(Some(record("1", Holder::NeverHeld)), start, start + seconds(1));
    assert_eq!(later.next(start + seconds(1)), LeaseStep::Wait(Some(start + seconds(16))));
    assert!(matches!(later.next(start + seconds(16)), LeaseStep::Write(_)));
}

#[test]
fn a_deleted_lease_is_free_only_after_the_claim_of_its_holder() {
    let start = Instant::now();
    let mut standby = candidate(Some(by("1", "b")), true, start);
    standby.hint(None, start + seconds(5));
    assert_eq!(standby.next(start + seconds(5)), LeaseStep::Create);
    standby.hint(Some(record("2", Holder::NeverHeld)), start + seconds(6));
    assert_eq!(standby.next(start + seconds(6)), LeaseStep::Wait(Some(start + seconds(21))));

    let mut holder = leader(start);
    holder.hint(None, start + seconds(1));
    assert_eq!(holder.next(start + seconds(1)), LeaseStep::Read);
    holder.read(None, start + seconds(1), start + seconds(1));
    assert_eq!(holder.next(start + seconds(1)), LeaseStep::Create);
    holder.read(Some(record("9", Holder::NeverHeld)), start + seconds(1), start + seconds(1));
    let draft = LeaseUpdate { version: "9".into(), acquired: Some(at(1)), transitions: 0 };
    assert_eq!(holder.next(start + seconds(1)), LeaseStep::Write(draft));
}

#[test]
fn a_claim_counts_from_before_the_renewal_was_sent_and_ends_before_the_lease() {
    let start = Instant::now();
    let mut holder = leader(start);
    assert_eq!(holder.claim_end(), Some(start + seconds(12)));
    assert_eq!(holder.next(start + seconds(4)), LeaseStep::Wait(Some(start + seconds(5))));
    assert!(matches!(holder.next(start + seconds(5)), LeaseStep::Write(_)));
    holder.written(by("3", "a"), start + seconds(5), start + seconds(8));
    assert_eq!(holder.claim_end(), Some(start + seconds(17)));
    holder.failed(start + seconds(11));
    assert_eq!(holder.next(start + seconds(11)), LeaseStep::Wait(Some(start + seconds(12))));
    assert_eq!(holder.next(start + seconds(12)), LeaseStep::Read);
    holder.failed(start + Duration::from_millis(16_500));
    assert_eq!(
        holder.next(start + seconds(17)),
        LeaseStep::Lost(LeaseLost::Expired),
        "no look beyond the end"
    );
}

#[test]
fn a_renewal_whose_answer_is_lost_is_read_and_continues_without_a_transition() {
    let start = Instant::now();
    let mut holder = leader(start);
    let now = start + seconds(5);
    holder.failed(now);
    let now = now + TIMINGS.retry();
    assert_eq!(holder.next(now), LeaseStep::Read);
    holder.read(Some(by("3", "a")), now, now);
    let draft = LeaseUpdate { version: "3".into(), acquired: Some(at(1)), transitions: 1 };
    assert_eq!(holder.next(now), LeaseStep::Write(draft));
    assert_eq!(holder.claim_end(), Some(start + seconds(12)), "a look renews nothing");
}

#[test]
fn a_lease_that_another_took_or_released_is_lost_only_after_a_read() {
    let start = Instant::now();
    let other_of_our_name = LeaseRecord { acquired: Some(at(2)), ..by("5", "a") };
    for (seen, loss) in [
        (by("5", "b"), LeaseLost::Taken("b".into())),
        (other_of_our_name, LeaseLost::Taken("a".into())),
        (record("5", Holder::Released), LeaseLost::Released),
    ] {
        let mut holder = leader(start);
        // The watch may show the lease before we took it.
        holder.hint(Some(seen.clone()), start);
        assert_eq!(holder.next(start), LeaseStep::Read);
        let mut still = holder.clone();
        still.read(Some(by("2", "a")), start, start);
        assert_eq!(still.next(start), LeaseStep::Wait(Some(start + seconds(5))));
        holder.read(Some(seen), start, start);
        assert_eq!(holder.next(start), LeaseStep::Lost(loss));
    }
}

#[test]
fn a_dry_run_claims_only_while_the_lease_is_free_and_never_takes_it() {
    let start = Instant::now();
    let mut dry = Election::watching("dry", TIMINGS, false, start);
    dry.read(Some(record("1", Holder::Released)), start, start);
    assert!(dry.claim_end().is_none(), "it is not ready yet");
    dry.become_candidate();
    assert_eq!(dry.next(start), LeaseStep::Read);
    dry.read(Some(record("1", Holder::Released)), start, start);
    assert_eq!(dry.claim_end(), Some(start + seconds(12)));
    assert_eq!(dry.next(start), LeaseStep::Wait(Some(start + seconds(5))));
    assert_eq!(dry.next(start + seconds(5)), LeaseStep::Read);
    dry.hint(Some(by("2", "a")), start + seconds(1));
    assert_eq!(dry.next(start + seconds(1)), LeaseStep::Read);
    dry.read(Some(by("2", "a")), start + seconds(1), start + seconds(1));
    assert_eq!(dry.next(start + seconds(1)), LeaseStep::Lost(LeaseLost::Taken("a".into())));
    assert!(dry.ours().is_none());

    let mut dry = Election::watching("dry", TIMINGS, false, start);
    dry.read(Some(by("2", "a")), start, start);
    dry.become_candidate();
    assert_eq!(dry.next(start), LeaseStep::Wait(Some(start + seconds(15))));
}

/// An event of three replicas that share one lease.
#[derive(Clone, Debug)]
enum Act {
    /// Time passes.
    Wait(u64),
    /// One decides on a step, and sends its call.
    Send(usize),
    /// A call arrives; the answer comes back or is lost.
    Arrive(usize, bool),
    /// A call is lost.
    Drop(usize),
    /// The watch shows one the lease, or an older version of it.
    Hint(usize, bool),
    /// The lease is deleted.
    Delete,
    /// One releases its lease, and starts again.
    Release(usize),
    /// One is killed, and starts again in its Pod.
    Kill(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let one = 0..3_usize;
    let act = prop_oneof![
        4 => (0..9_000_u64).prop_map(Act::Wait),
        8 => one.clone().prop_map(Act::Send),
        8 => (one.clone(), prop::bool::weighted(0.8)).prop_map(|(i, reply)| Act::Arrive(i, reply)),
        1 => one.clone().prop_map(Act::Drop),
        3 => (one.clone(), prop::bool::ANY).prop_map(|(i, old)| Act::Hint(i, old)),
        1 => Just(Act::Delete),
        1 => one.clone().prop_map(Act::Release),
        1 => one.prop_map(Act::Kill),
    ];
    prop::collection::vec(act, 1..160)
}

struct World {
    now: Instant,
    clock: i64,
    version: u32,
    lease: Option<LeaseRecord>,
    before: Option<LeaseRecord>,
    sides: Vec<(Election, Option<(LeaseStep, Instant)>)>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let sides = (0..3).map(|i| (Self::side(i, now), None)).collect();
        Self { now, clock: 0, version: 0, lease: None, before: None, sides }
    }

    fn side(i: usize, now: Instant) -> Election {
        let mut election = Election::new(&i.to_string(), TIMINGS, true, now);
        election.become_candidate();
        election
    }

    fn put(&mut self, lease: Option<LeaseRecord>) {
        self.version += 1;
        let version: Box<str> = self.version.to_string().into();
        self.before = std::mem::replace(&mut self.lease, lease.map(|lease| LeaseRecord { version, ..lease }));
    }

    /// Executes a call, and returns its answer.
    fn serve(&mut self, i: usize, step: &LeaseStep) -> Option<LeaseRecord> {
        match step {
            LeaseStep::Create if self.lease.is_none() => self.put(Some(record("", Holder::NeverHeld))),
            LeaseStep::Write(draft) => {
                if self.lease.as_ref().is_none_or(|lease| lease.version != draft.version) {
                    return None;
                }
                self.clock += 1;
                self.put(Some(LeaseRecord {
                    version: "".into(),
                    holder: Holder::HeldBy(i.to_string().into()),
                    acquired: Some(draft.acquired.unwrap_or(at(self.clock))),
                    lease: Some(TIMINGS.lease),
                    transitions: draft.transitions,
                }));
            }
            _ => {}
        }
        self.lease.clone()
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Wait(milliseconds) => self.now += Duration::from_millis(milliseconds),
            Act::Send(i) => {
                let (election, pending) = &mut self.sides[i];
                match election.next(self.now) {
                    _ if pending.is_some() => {}
                    LeaseStep::Wait(_) => {}
                    LeaseStep::Lost(_) => self.sides[i] = (Self::side(i, self.now), None),
                    step => *pending = Some((step, self.now)),
                }
            }
            Act::Arrive(i, reply) => {
                let Some((step, sent)) = self.sides[i].1.take() else { return };
                let answer = self.serve(i, &step);
                let now = self.now;
                let election = &mut self.sides[i].0;
                match (reply, step, answer) {
                    (false, ..) => election.failed(now),
                    (_, LeaseStep::Write(_), Some(record)) => election.written(record, sent, now),
                    (_, LeaseStep::Write(_), None) => election.lost_race(),
                    (_, _, answer) => election.read(answer, sent, now),
                }
            }
            Act::Drop(i) => {
                if self.sides[i].1.take().is_some() {
                    self.sides[i].0.failed(self.now);
                }
            }
            Act::Hint(i, old) => {
                let shown = if old { self.before.clone() } else { self.lease.clone() };
                self.sides[i].0.hint(shown, self.now);
            }
            Act::Delete => self.put(None),
            Act::Release(i) => {
                let ours = self.sides[i].0.ours().cloned();
                if let (Some(ours), Some(lease)) = (ours, self.lease.clone())
                    && ours.version == lease.version
                {
                    self.put(Some(LeaseRecord { holder: Holder::Released, ..lease }));
                }
                self.sides[i] = (Self::side(i, self.now), None);
            }
            Act::Kill(i) => self.sides[i] = (Self::side(i, self.now), None),
        }
    }

    fn writers(&self) -> usize {
        self.sides.iter().filter(|(side, _)| side.claim_end().is_some_and(|end| self.now < end)).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Calls and leases may be lost, late, deleted, released or killed.
    #[test]
    fn two_replicas_never_may_write(acts in acts()) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
            prop_assert!(world.writers() <= 1, "after {act:?}");
        }
    }
}

#[test]
fn a_free_lease_is_taken_after_any_history() {
    let mut world = World::new();
    let mut led = [false; 3];
    for round in 0..600 {
        // Each in turn is killed for good, and the next takes over.
        for i in (0..3).filter(|i| round < 200 * (i + 1)) {
            world.act(&Act::Send(i));
            world.act(&Act::Arrive(i, round % 7 != 0));
        }
        world.act(&Act::Wait(200));
        for (i, led) in led.iter_mut().enumerate() {
            *led |= world.sides[i].0.claim_end().is_some_and(|end| world.now < end);
        }
    }
    assert_eq!(led, [true; 3]);
}

#[test]
fn a_leader_whose_work_has_stopped_does_not_renew_and_loses_the_lease() {
    let start = Instant::now();
    let mut election = leader(start);
    let due = start + TIMINGS.renewal();
    assert!(matches!(election.clone().next(due), LeaseStep::Write(_)));
    election.set_stopped(true);
    assert_eq!(election.next(due), LeaseStep::Wait(Some(due + TIMINGS.retry())));
    let end = start + TIMINGS.claim();
    assert_eq!(election.next(end - seconds(1) / 2), LeaseStep::Wait(Some(end)), "it wakes for the end");
    // It goes on where the work does, and not after its claim.
    let mut resumed = election.clone();
    resumed.set_stopped(false);
    assert!(matches!(resumed.next(end - seconds(1)), LeaseStep::Write(_)));
    assert_eq!(election.next(end), LeaseStep::Lost(LeaseLost::Expired));
    assert_eq!(resumed.next(end), LeaseStep::Lost(LeaseLost::Expired));
}

#[test]
fn a_candidate_whose_work_has_stopped_acquires_no_lease() {
    let start = Instant::now();
    for record in [None, Some(record("1", Holder::NeverHeld)), Some(record("1", Holder::Released))] {
        let mut election = candidate(record, false, start);
        election.set_stopped(true);
        assert_eq!(election.next(start), LeaseStep::Wait(Some(start + TIMINGS.retry())));
        election.set_stopped(false);
        assert!(matches!(election.next(start), LeaseStep::Create | LeaseStep::Write(_)));
    }
}
