use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

use super::{Draft, Election, Holder, LeaseLost, LeaseTimings, Record, Step};

const TERMS: LeaseTimings = LeaseTimings { lease: Duration::from_secs(15) };

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn record(version: &str, holder: Holder) -> Record {
    let held = holder != Holder::Never;
    Record {
        version: version.into(),
        acquired: held.then(|| at(1)),
        lease: held.then(|| seconds(15)),
        transitions: i32::from(held),
        holder,
    }
}

fn by(version: &str, name: &str) -> Record {
    record(version, Holder::Is(name.into()))
}

/// Ready to work, after a first look.
fn candidate(record: Option<Record>, worked_before: bool, now: Instant) -> Election {
    let mut election = Election::new("a", TERMS, worked_before, now);
    assert_eq!(election.next(now), Step::Read);
    election.read(record, now, now);
    assert_eq!(election.next(now), Step::Sleep(None), "it is not ready yet");
    election.become_candidate();
    election
}

fn leader(now: Instant) -> Election {
    let mut election = candidate(Some(record("1", Holder::Nobody)), true, now);
    assert!(matches!(election.next(now), Step::Write(_)));
    election.written(by("2", "a"), now, now);
    election
}

#[test]
fn terms_leave_room_for_a_second_try_before_the_claim_ends_and_a_margin_after_it() {
    for lease in [3, 15, 60].map(seconds) {
        let timings = LeaseTimings { lease };
        assert!(timings.renewal() + 2 * timings.deadline() + timings.retry() <= timings.claim());
        assert!(timings.claim() + timings.deadline() <= lease);
    }
}

#[test]
fn a_lease_that_another_holds_is_taken_when_it_was_not_seen_to_change_for_its_length() {
    let start = Instant::now();
    let mut election = candidate(Some(by("1", "b")), true, start);
    assert_eq!(election.next(start), Step::Sleep(Some(start + seconds(15))));
    // A renewal counts from when it was seen, whatever its holder's clock said.
    election.hint(Some(by("2", "b")), start + seconds(10));
    assert_eq!(election.next(start + seconds(24)), Step::Sleep(Some(start + seconds(25))));
    let draft = Draft { version: "2".into(), acquired: None, transitions: 2 };
    assert_eq!(election.next(start + seconds(25)), Step::Write(draft));
    // Seen again unchanged, it is as old as before.
    election.hint(Some(by("2", "b")), start + seconds(25));
    assert!(matches!(election.next(start + seconds(25)), Step::Write(_)));
}

/// The holder's own word counts while versions with different flags run side by side.
#[test]
fn the_length_that_the_holder_states_is_waited_for() {
    let start = Instant::now();
    let long = Record { lease: Some(seconds(60)), ..by("1", "b") };
    assert_eq!(candidate(Some(long), true, start).next(start), Step::Sleep(Some(start + seconds(60))));
}

#[test]
fn a_lease_that_was_given_back_or_is_our_own_from_before_a_restart_is_taken_at_once() {
    let start = Instant::now();
    let election = candidate(Some(record("7", Holder::Nobody)), true, start);
    assert_eq!(
        election.next(start),
        Step::Write(Draft { version: "7".into(), acquired: None, transitions: 2 })
    );
    let election = candidate(Some(by("7", "a")), true, start);
    assert_eq!(
        election.next(start),
        Step::Write(Draft { version: "7".into(), acquired: None, transitions: 1 })
    );
}

#[test]
fn a_lease_that_is_not_there_is_made_at_once_where_nobody_ever_worked_and_waited_for_elsewhere() {
    let start = Instant::now();
    let mut first = candidate(None, false, start);
    assert_eq!(first.next(start), Step::Make);
    first.read(Some(record("1", Holder::Never)), start, start);
    assert_eq!(first.next(start), Step::Write(Draft { version: "1".into(), acquired: None, transitions: 0 }));

    let mut later = candidate(None, true, start);
    assert_eq!(later.next(start), Step::Make, "an empty one gives it to nobody");
    later.read(Some(record("1", Holder::Never)), start, start + seconds(1));
    assert_eq!(later.next(start + seconds(1)), Step::Sleep(Some(start + seconds(16))));
    assert!(matches!(later.next(start + seconds(16)), Step::Write(_)));
}

#[test]
fn a_lease_that_is_deleted_is_nobodys_before_the_claim_of_its_holder_is_over() {
    let start = Instant::now();
    let mut standby = candidate(Some(by("1", "b")), true, start);
    standby.hint(None, start + seconds(5));
    assert_eq!(standby.next(start + seconds(5)), Step::Make);
    standby.hint(Some(record("2", Holder::Never)), start + seconds(6));
    assert_eq!(standby.next(start + seconds(6)), Step::Sleep(Some(start + seconds(21))));

    let mut holder = leader(start);
    holder.hint(None, start + seconds(1));
    assert_eq!(holder.next(start + seconds(1)), Step::Read);
    holder.read(None, start + seconds(1), start + seconds(1));
    assert_eq!(holder.next(start + seconds(1)), Step::Make);
    holder.read(Some(record("9", Holder::Never)), start + seconds(1), start + seconds(1));
    let draft = Draft { version: "9".into(), acquired: Some(at(1)), transitions: 0 };
    assert_eq!(holder.next(start + seconds(1)), Step::Write(draft));
}

#[test]
fn a_claim_counts_from_before_the_renewal_was_sent_and_ends_before_the_lease() {
    let start = Instant::now();
    let mut holder = leader(start);
    assert_eq!(holder.claim_end(), Some(start + seconds(12)));
    assert_eq!(holder.next(start + seconds(4)), Step::Sleep(Some(start + seconds(5))));
    assert!(matches!(holder.next(start + seconds(5)), Step::Write(_)));
    holder.written(by("3", "a"), start + seconds(5), start + seconds(8));
    assert_eq!(holder.claim_end(), Some(start + seconds(17)));
    holder.failed(start + seconds(11));
    assert_eq!(holder.next(start + seconds(11)), Step::Sleep(Some(start + seconds(12))));
    assert_eq!(holder.next(start + seconds(12)), Step::Read);
    holder.failed(start + Duration::from_millis(16_500));
    assert_eq!(holder.next(start + seconds(17)), Step::Lost(LeaseLost::RanOut), "no look beyond the end");
}

#[test]
fn a_renewal_whose_answer_is_lost_is_read_and_goes_on_without_a_transition() {
    let start = Instant::now();
    let mut holder = leader(start);
    let now = start + seconds(5);
    holder.failed(now);
    let now = now + TERMS.retry();
    assert_eq!(holder.next(now), Step::Read);
    holder.read(Some(by("3", "a")), now, now);
    let draft = Draft { version: "3".into(), acquired: Some(at(1)), transitions: 1 };
    assert_eq!(holder.next(now), Step::Write(draft));
    assert_eq!(holder.claim_end(), Some(start + seconds(12)), "a look renews nothing");
}

#[test]
fn a_lease_that_another_took_or_emptied_is_lost_but_only_if_a_read_says_so() {
    let start = Instant::now();
    let other_of_our_name = Record { acquired: Some(at(2)), ..by("5", "a") };
    for (seen, loss) in [
        (by("5", "b"), LeaseLost::Taken("b".into())),
        (other_of_our_name, LeaseLost::Taken("a".into())),
        (record("5", Holder::Nobody), LeaseLost::GivenBack),
    ] {
        let mut holder = leader(start);
        // The watch may show what was before we took it.
        holder.hint(Some(seen.clone()), start);
        assert_eq!(holder.next(start), Step::Read);
        let mut still = holder.clone();
        still.read(Some(by("2", "a")), start, start);
        assert_eq!(still.next(start), Step::Sleep(Some(start + seconds(5))));
        holder.read(Some(seen), start, start);
        assert_eq!(holder.next(start), Step::Lost(loss));
    }
}

#[test]
fn a_dry_run_claims_only_while_the_lease_is_free_and_never_takes_it() {
    let start = Instant::now();
    let mut dry = Election::watching("dry", TERMS, false, start);
    dry.read(Some(record("1", Holder::Nobody)), start, start);
    assert!(dry.claim_end().is_none(), "it is not ready yet");
    dry.become_candidate();
    assert_eq!(dry.next(start), Step::Read);
    dry.read(Some(record("1", Holder::Nobody)), start, start);
    assert_eq!(dry.claim_end(), Some(start + seconds(12)));
    assert_eq!(dry.next(start), Step::Sleep(Some(start + seconds(5))));
    assert_eq!(dry.next(start + seconds(5)), Step::Read);
    dry.hint(Some(by("2", "a")), start + seconds(1));
    assert_eq!(dry.next(start + seconds(1)), Step::Read);
    dry.read(Some(by("2", "a")), start + seconds(1), start + seconds(1));
    assert_eq!(dry.next(start + seconds(1)), Step::Lost(LeaseLost::Taken("a".into())));
    assert!(dry.ours().is_none());

    let mut dry = Election::watching("dry", TERMS, false, start);
    dry.read(Some(by("2", "a")), start, start);
    dry.become_candidate();
    assert_eq!(dry.next(start), Step::Sleep(Some(start + seconds(15))));
}

/// What befalls three replicas and the one register that they share.
#[derive(Clone, Debug)]
enum Act {
    /// Time passes.
    Wait(u64),
    /// One decides, and sends what it decided.
    Send(usize),
    /// What one sent arrives; the answer comes back or is lost.
    Arrive(usize, bool),
    /// What one sent is lost.
    Drop(usize),
    /// The watch shows one how the lease stands, or how it stood a while ago.
    Hint(usize, bool),
    /// Somebody deletes the lease.
    Delete,
    /// One gives its lease back, and starts anew.
    Release(usize),
    /// One is killed, and starts anew in its Pod.
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
    lease: Option<Record>,
    before: Option<Record>,
    sides: Vec<(Election, Option<(Step, Instant)>)>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let sides = (0..3).map(|i| (Self::side(i, now), None)).collect();
        Self { now, clock: 0, version: 0, lease: None, before: None, sides }
    }

    fn side(i: usize, now: Instant) -> Election {
        let mut election = Election::new(&i.to_string(), TERMS, true, now);
        election.become_candidate();
        election
    }

    fn put(&mut self, lease: Option<Record>) {
        self.version += 1;
        let version: Box<str> = self.version.to_string().into();
        self.before = std::mem::replace(&mut self.lease, lease.map(|lease| Record { version, ..lease }));
    }

    /// What a call does, and what comes back.
    fn serve(&mut self, i: usize, step: &Step) -> Option<Record> {
        match step {
            Step::Make if self.lease.is_none() => self.put(Some(record("", Holder::Never))),
            Step::Write(draft) => {
                if self.lease.as_ref().is_none_or(|lease| lease.version != draft.version) {
                    return None;
                }
                self.clock += 1;
                self.put(Some(Record {
                    version: "".into(),
                    holder: Holder::Is(i.to_string().into()),
                    acquired: Some(draft.acquired.unwrap_or(at(self.clock))),
                    lease: Some(TERMS.lease),
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
                    Step::Sleep(_) => {}
                    Step::Lost(_) => self.sides[i] = (Self::side(i, self.now), None),
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
                    (_, Step::Write(_), Some(record)) => election.written(record, sent, now),
                    (_, Step::Write(_), None) => election.outrun(),
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
                    self.put(Some(Record { holder: Holder::Nobody, ..lease }));
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

    /// Whatever is lost, late, deleted, given back or killed.
    #[test]
    fn never_two_may_write(acts in acts()) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
            prop_assert!(world.writers() <= 1, "after {act:?}");
        }
    }
}

#[test]
fn a_lease_is_taken_up_again_whatever_happened_before() {
    let mut world = World::new();
    let mut led = [false; 3];
    for round in 0..600 {
        // Each is killed for good in its turn, and the next takes over.
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
