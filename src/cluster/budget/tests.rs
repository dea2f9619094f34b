//! Permits with waiting and deadlines, on a paused clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Permit, WriteBudget};
use crate::cluster::error::DEADLINE;
use crate::plan::budget::PATIENCE;
use crate::plan::priority::Priority;

fn ask(budget: &Arc<WriteBudget>, namespace: &str, priority: Priority) -> Permit {
    budget.request(&namespace.into(), priority)
}

/// Starts a write that hangs. Returns how long it lasted.
fn hang(permit: Permit) -> tokio::task::JoinHandle<Duration> {
    tokio::spawn(async move {
        permit.granted().await;
        let ended = permit.hold(std::future::pending::<()>(), |()| true, || {}).await;
        assert!(ended.answer.is_none() && !ended.is_quick());
        ended.lasted
    })
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_write_begins_with_its_permit() {
    let budget = Arc::new(WriteBudget::default());
    let first: Vec<_> = (0..4).map(|_| hang(ask(&budget, "a", Priority::Slow))).collect();
    let last = hang(ask(&budget, "a", Priority::Slow));
    for write in first {
        assert_eq!(write.await.unwrap(), DEADLINE);
    }
    let begun = Instant::now();
    assert_eq!(last.await.unwrap(), DEADLINE);
    assert_eq!(begun.elapsed(), DEADLINE);
    assert_eq!((budget.in_flight(), budget.longest(begun.into_std())), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_write_over_a_second_old_goes_on_or_is_cut_and_its_place_is_free() {
    let budget = Arc::new(WriteBudget::default());
    let writes: Vec<_> = (0..6)
        .flat_map(|n| (0..16).map(move |_| n))
        .map(|n| hang(ask(&budget, &format!("bad-{n}"), Priority::New)))
        .collect();
    tokio::task::yield_now().await;
    let begun = Instant::now();
    let good = ask(&budget, "good", Priority::New);
    good.granted().await;
    assert_eq!(begun.elapsed(), PATIENCE);
    let mut slowed = false;
    let ended = good.hold(async { 7 }, |_| true, || slowed = true).await;
    assert!(ended.is_quick() && ended.answer == Some(7) && !slowed);
    let mut lasted = Vec::new();
    for write in writes {
        lasted.push(write.await.unwrap());
    }
    assert_eq!(lasted.iter().filter(|lasted| **lasted == DEADLINE).count(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_under_a_permit_of_those_that_may_hang_counts() {
    let budget = Arc::new(WriteBudget::default());
    let permit = ask(&budget, "a", Priority::New);
    permit.granted().await;
    let mut slowed = 0;
    let answer = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        "late"
    };
    let ended = permit.hold(answer, |_| true, || slowed += 1).await;
    assert_eq!((ended.answer, ended.lasted, slowed), (Some("late"), Duration::from_secs(3), 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_leaves_its_place_to_the_next() {
    let budget = Arc::new(WriteBudget::default());
    let held: Vec<_> = (0..16).map(|_| ask(&budget, "a", Priority::New)).collect();
    let (given_up, next) = (ask(&budget, "a", Priority::New), ask(&budget, "a", Priority::New));
    assert!(timeout(Duration::from_secs(60), next.granted()).await.is_err());
    drop(given_up);
    let mut held = held.into_iter();
    let ended = held.next().unwrap().hold(async {}, |()| true, || {}).await;
    assert!(ended.is_quick());
    next.granted().await;
    assert_eq!(budget.in_flight(), 16);
}

#[tokio::test(start_paused = true)]
async fn reads_go_beside_the_writes_a_few_at_once() {
    let budget = Arc::new(WriteBudget::default());
    let reads: Vec<_> = (0..17)
        .map(|_| {
            let budget = budget.clone();
            tokio::spawn(async move {
                budget.read(async { tokio::time::sleep(Duration::from_secs(1)).await }).await;
            })
        })
        .collect();
    let begun = Instant::now();
    for read in reads {
        read.await.unwrap();
    }
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    assert_eq!(budget.in_flight(), 0);
}
