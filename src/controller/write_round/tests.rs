//! Namespaces of which some hang, in virtual time: the queue, the budget and the rounds as the namespace loop drives
//! them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::test_runner::TestCaseError;
use proptest::{collection, prop_assert, proptest};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::{WriteRound, Written};
use crate::cluster::budget::{Permit, WriteBudget};
use crate::controller::work_queue::{Pace, WorkItem, WorkQueue};
use crate::plan::Change;
use crate::plan::budget::PATIENCE;
use crate::plan::change::ObjectKey;
use crate::plan::priority::Priority;
use crate::plan::scheduler::NAMESPACES;

/// The time that a write takes where nothing hangs.
const QUICK: Duration = Duration::from_millis(5);

type Key = Arc<str>;

/// Namespaces whose accounts lack their entry.
struct World {
    queue: Arc<WorkQueue<Key>>,
    budget: Arc<WriteBudget>,
    state: Mutex<WorldState>,
}

#[derive(Default)]
struct WorldState {
    /// Accounts that lack their entry, and since when.
    lacking: BTreeMap<(Key, u32), Instant>,
    /// Namespaces whose writes hang.
    hanging: BTreeSet<Key>,
    attempts: HashMap<Key, u32>,
    /// How long each account waited.
    waited: Vec<(Key, Duration)>,
    in_flight: HashMap<Key, usize>,
    most_in_flight: usize,
    most_of_one: usize,
}

fn attach(account: u32) -> Change {
    Change::SetPullSecrets {
        service_account: account.to_string().into(),
        resource_version: "1".into(),
        pull_secrets: Vec::new(),
    }
}

fn number(change: &Change) -> u32 {
    change.object().service_account().and_then(|name| name.parse().ok()).unwrap()
}

impl World {
    fn new(hanging: impl IntoIterator<Item = Key>) -> Arc<Self> {
        let state = WorldState { hanging: hanging.into_iter().collect(), ..WorldState::default() };
        Arc::new(Self {
            queue: WorkQueue::new(NAMESPACES, Priority::Retry),
            budget: Arc::default(),
            state: Mutex::new(state),
        })
    }

    /// Lets a number of accounts of a namespace lack their entry.
    fn change(&self, namespace: &Key, accounts: u32, priority: Priority) {
        let mut state = self.state.lock().unwrap();
        for account in 0..accounts {
            state.lacking.entry((namespace.clone(), account)).or_insert_with(Instant::now);
        }
        drop(state);
        self.queue.add(namespace.clone(), priority);
    }

    /// Runs the namespaces as the namespace loop does.
    async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        loop {
            let item = self.queue.next().await;
            let world = self.clone();
            tasks.spawn(async move { world.process(item).await });
            while tasks.try_join_next().is_some_and(|ended| ended.is_ok()) {}
        }
    }

    async fn process(self: Arc<Self>, item: WorkItem<Key>) {
        let (mut round, mut asked) = (WriteRound::new(self.budget.clone()), item.asked);
        let mut tried = BTreeSet::new();
        loop {
            let wanted: Vec<Change> = {
                let state = self.state.lock().unwrap();
                let lacking =
                    state.lacking.keys().filter(|(of, account)| *of == item.key && !tried.contains(account));
                lacking.map(|(_, account)| attach(*account)).collect()
            };
            round.add(wanted, |_| 0);
            if round.is_empty() {
                break;
            }
            let begin = |permit, change| self.clone().write(item.pace(), permit, change);
            tokio::select! {
                biased;
                written = round.next(&item, asked, begin) => if let Some(Written { change, result: false }) = written {
                    tried.insert(number(&change));
                    // What did not begin rests as well.
                    tried.extend(round.give_up().iter().map(number));
                },
                news = item.news() => asked = asked.min(news.asked),
            }
        }
        if !tried.is_empty() {
            let mut state = self.state.lock().unwrap();
            let attempts = state.attempts.entry(item.key.clone()).or_default();
            *attempts += 1;
            let wait = Duration::from_millis(500) * 2_u32.pow((*attempts).min(7));
            self.queue.add_after(item.key.clone(), wait);
        }
    }

    /// Writes an entry. Returns whether it was written.
    async fn write(self: Arc<Self>, pace: Pace<Key>, permit: Permit, change: Change) -> Written<bool> {
        let namespace = pace.key().clone();
        let guard = InFlight::begin(&self, &namespace);
        let hangs = self.state.lock().unwrap().hanging.contains(&namespace);
        let answer = async {
            if hangs {
                std::future::pending::<()>().await;
            }
            sleep(QUICK).await;
        };
        let ended = permit.hold(answer, |()| true, || pace.slow_down()).await;
        drop(guard);
        if ended.is_quick() {
            pace.speed_up();
        }
        let mut state = self.state.lock().unwrap();
        if ended.answer.is_some() {
            let since = state.lacking.remove(&(namespace.clone(), number(&change)));
            state.waited.extend(since.map(|since| (namespace, since.elapsed())));
        }
        Written { change, result: ended.answer.is_some() }
    }
}

struct InFlight {
    world: Arc<World>,
    namespace: Key,
}

impl InFlight {
    fn begin(world: &Arc<World>, namespace: &Key) -> Self {
        let mut state = world.state.lock().unwrap();
        let of_one = state.in_flight.entry(namespace.clone()).or_default();
        *of_one += 1;
        let of_one = *of_one;
        state.most_of_one = state.most_of_one.max(of_one);
        state.most_in_flight = state.most_in_flight.max(state.in_flight.values().sum());
        Self { world: world.clone(), namespace: namespace.clone() }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(count) = self.world.state.lock().unwrap().in_flight.get_mut(&self.namespace) {
            *count -= 1;
        }
    }
}

/// Something that happens in a namespace.
#[derive(Clone, Debug)]
struct Event {
    at: Duration,
    namespace: Key,
    accounts: u32,
    priority: Priority,
}

fn events(
    prefix: &'static str,
    count: usize,
    accounts: u32,
    until: u64,
) -> impl Strategy<Value = Vec<Event>> {
    let priority = prop_oneof![Just(Priority::New), Just(Priority::Changed), Just(Priority::Bulk)];
    let event =
        (0..until, 0..count, 1..=accounts, priority).prop_map(move |(at, number, accounts, priority)| {
            let namespace = format!("{prefix}-{number}").into();
            Event { at: Duration::from_millis(at), namespace, accounts, priority }
        });
    collection::vec(event, 1..2 * count)
}

/// Plays the events, and checks that no account of a good namespace waited for longer.
async fn play(mut events: Vec<Event>, longest: Duration) -> Result<(), TestCaseError> {
    let hanging = events.iter().map(|event| event.namespace.clone()).filter(|name| name.starts_with("bad"));
    let world = World::new(hanging);
    let running = tokio::spawn(world.clone().run());
    events.sort_by_key(|event| event.at);
    let begun = Instant::now();
    for event in events {
        sleep_until(begun + event.at).await;
        world.change(&event.namespace, event.accounts, event.priority);
    }
    // Time for all good ones, and for some retries of the others.
    sleep(Duration::from_secs(60)).await;
    running.abort();
    let state = world.state.lock().unwrap();
    let left = state.lacking.keys().filter(|(namespace, _)| namespace.starts_with("good")).count();
    prop_assert!(left == 0, "{} good accounts have no entry", left);
    for (namespace, waited) in &state.waited {
        prop_assert!(
            namespace.starts_with("good") && *waited <= longest,
            "{} waited {:?}",
            namespace,
            waited
        );
    }
    prop_assert!(state.most_in_flight <= 112 && state.most_of_one <= 16);
    Ok(())
}

fn paused<T>(play: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(play)
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 20, ..Default::default() })]

    /// Any of 70 namespaces hang, at any time and for any reason: an account elsewhere waits for at most a second, beside
    /// its own write.
    #[test]
    fn a_good_account_waits_at_most_a_second_while_any_others_hang(
        bad in events("bad", 70, 81, 30_000),
        good in events("good", 40, 1, 45_000),
    ) {
        paused(play([bad, good].concat(), PATIENCE + 4 * QUICK))?;
    }

    /// Two namespaces with 81 accounts each fill no budget: no account waits at all, at any retry.
    #[test]
    fn a_good_account_does_not_wait_for_two_namespaces_that_hang(
        bad in events("bad", 2, 81, 30_000),
        good in events("good", 40, 1, 45_000),
    ) {
        paused(play([bad, good].concat(), 2 * QUICK))?;
    }
}

/// Returns an item of a queue.
async fn item(queue: &Arc<WorkQueue<Key>>) -> WorkItem<Key> {
    queue.add("a".into(), Priority::New);
    queue.next().await
}

#[tokio::test(start_paused = true)]
async fn an_object_has_one_write_at_a_time_and_is_left_out_when_it_changes_without_end() {
    let queue = WorkQueue::new(NAMESPACES, Priority::Retry);
    let item = item(&queue).await;
    let mut round = WriteRound::new(Arc::default());
    let begin = |permit: Permit, change| async move {
        permit.hold(async {}, |()| true, || {}).await;
        Written { change, result: () }
    };
    for _ in 0..6 {
        round.add([attach(1), attach(2), attach(1)], |_| 0);
        assert!(round.has(&ObjectKey::ServiceAccount("1".into())));
        let mut written = Vec::new();
        while let Some(Written { change, .. }) = round.next(&item, Priority::New, begin).await {
            written.push(number(&change));
        }
        written.sort_unstable();
        assert_eq!(written, [1, 2]);
    }
    assert!(!round.has_left_out());
    round.add([attach(1), attach(3)], |_| 0);
    assert!(round.has_left_out());
    let next = round.next(&item, Priority::New, begin).await.unwrap();
    assert_eq!(number(&next.change), 3, "the others go on");
}

#[tokio::test(start_paused = true)]
async fn those_that_failed_least_are_tried_first_and_what_is_given_up_may_be_added_again() {
    let queue = WorkQueue::new(NAMESPACES, Priority::Retry);
    let item = item(&queue).await;
    let mut round = WriteRound::<()>::new(Arc::default());
    let attempts = |object: &ObjectKey| u32::from(object.service_account() == Some("1"));
    round.add([attach(1), attach(2), attach(3)], attempts);
    let order: Vec<u32> = round.give_up().iter().map(number).collect();
    assert_eq!(order, [2, 3, 1]);
    assert!(round.is_empty() && !round.has(&ObjectKey::ServiceAccount("1".into())));
    round.add([attach(1)], attempts);
    assert!(!round.is_empty());
    let begin = |_: Permit, change| async move { Written { change, result: () } };
    assert_eq!(number(&round.next(&item, Priority::New, begin).await.unwrap().change), 1);
}

#[tokio::test(start_paused = true)]
async fn writes_go_on_while_the_worker_awaits_something_else() {
    let queue = WorkQueue::new(NAMESPACES, Priority::Retry);
    let item = item(&queue).await;
    let budget = Arc::<WriteBudget>::default();
    let mut round = WriteRound::new(budget.clone());
    round.add([attach(1)], |_| 0);
    let begin = |permit: Permit, change| async move {
        let ended = permit.hold(sleep(QUICK), |()| true, || {}).await;
        Written { change, result: ended.lasted }
    };
    // One poll begins it.
    let _ = tokio::time::timeout(Duration::from_millis(1), round.next(&item, Priority::New, begin)).await;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(budget.in_flight(), 0, "it ended meanwhile");
    let written = round.next(&item, Priority::New, begin).await.unwrap();
    assert_eq!(written.result, QUICK);
}

/// The worker asks for a permit of its own while its round waits for one: of a silent namespace only one is given.
#[tokio::test(start_paused = true)]
async fn a_round_that_pauses_keeps_no_permit() {
    let queue = WorkQueue::new(NAMESPACES, Priority::Retry);
    let item = item(&queue).await;
    let budget = Arc::<WriteBudget>::default();
    let other = budget.request(&item.key, Priority::New);
    other.granted().await;
    // Dropped without an answer.
    drop(other);
    let mut round = WriteRound::new(budget.clone());
    round.add([attach(1), attach(2)], |_| 0);
    let begin = |permit: Permit, change| async move {
        permit.hold(sleep(QUICK), |()| false, || {}).await;
        Written { change, result: () }
    };
    let _ = tokio::time::timeout(Duration::from_millis(1), round.next(&item, Priority::New, begin)).await;
    sleep(2 * QUICK).await;
    assert_eq!(budget.in_flight(), 1, "the next permit is given, and not used yet");
    round.pause();
    assert_eq!(budget.in_flight(), 0);
    let notice = budget.request(&item.key, Priority::New);
    notice.granted().await;
    drop(notice);
    while round.next(&item, Priority::New, begin).await.is_some() {}
}
