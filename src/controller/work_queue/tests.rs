//! The queue with its waiting, on a paused clock.

use std::time::Duration;

use super::WorkQueue;
use crate::plan::priority::{PlaceLimits, Priority};
use crate::plan::scheduler::NAMESPACES;

#[tokio::test(start_paused = true)]
async fn a_key_is_in_it_once_and_the_urgent_go_first() {
    let queue = WorkQueue::new(NAMESPACES, Priority::Retry);
    for (key, priority) in
        [("a", Priority::Bulk), ("b", Priority::Bulk), ("a", Priority::Bulk), ("b", Priority::New)]
    {
        queue.add(key, priority);
    }
    assert_eq!(queue.depth(), 2);
    let (first, second) = (queue.next().await, queue.next().await);
    assert_eq!((first.key, second.key), ("b", "a"));
    drop((first, second));
    assert!(tokio::time::timeout(Duration::from_secs(60), queue.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_key_added_while_it_is_processed_is_news_to_its_worker_or_is_processed_again() {
    let queue = WorkQueue::new(PlaceLimits::NONE, Priority::Changed);
    queue.add("a", Priority::Changed);
    let item = queue.next().await;
    queue.add("a", Priority::Bulk);
    assert!(tokio::time::timeout(Duration::from_secs(60), queue.next()).await.is_err());
    drop(item);
    let item = queue.next().await;
    assert_eq!((item.key, item.asked), ("a", Priority::Bulk));
    assert!(tokio::time::timeout(Duration::from_secs(60), item.news()).await.is_err());
    let (news, ()) = tokio::join!(item.news(), async { queue.add("a", Priority::New) });
    assert_eq!(news.asked, Priority::New);
    drop(item);
    assert!(tokio::time::timeout(Duration::from_secs(60), queue.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn of_two_delays_the_shorter_counts_also_while_the_key_is_processed() {
    let queue = WorkQueue::new(NAMESPACES, Priority::Retry);
    queue.add_after("a", Duration::from_secs(60));
    queue.add_after("a", Duration::from_secs(5));
    queue.add_after("a", Duration::from_secs(30));
    assert_eq!(queue.delayed(), 1);
    let start = tokio::time::Instant::now();
    let item = queue.next().await;
    assert_eq!((item.key, item.asked, start.elapsed().as_secs()), ("a", Priority::Retry, 5));
    queue.add_after("a", Duration::from_secs(7));
    // Some worker waits for the next key, as in the process.
    let news = tokio::select! {
        news = item.news() => news,
        other = queue.next() => panic!("{} is processed already", other.key),
    };
    assert_eq!((news.asked, start.elapsed().as_secs()), (Priority::Retry, 12));
    drop(item);
    assert!(tokio::time::timeout(Duration::from_secs(120), queue.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_place_that_becomes_free_wakes_who_waits() {
    let queue = WorkQueue::new(NAMESPACES, Priority::Retry);
    (0..100).for_each(|key| queue.add(key, Priority::New));
    let mut items = Vec::new();
    while let Ok(item) = tokio::time::timeout(Duration::from_secs(1), queue.next()).await {
        items.push(item);
    }
    assert_eq!(items.len(), 72);
    let (next, ()) = tokio::join!(queue.next(), async { items[0].pace().slow_down() });
    assert_eq!(next.key, 72);
    let (next, ()) = tokio::join!(queue.next(), async { drop(items.pop()) });
    assert_eq!(next.key, 73);
    assert_eq!(items[0].priority(Priority::New), Priority::Slow);
    items[0].pace().speed_up();
    assert_eq!(items[0].priority(Priority::New), Priority::New);
}

#[tokio::test]
async fn every_added_key_is_processed_by_many_workers() {
    let queue = WorkQueue::new(NAMESPACES, Priority::Retry);
    let (sender, mut done) = tokio::sync::mpsc::unbounded_channel();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (queue, sender) = (queue.clone(), sender.clone());
            tokio::spawn(async move {
                loop {
                    let item = queue.next().await;
                    tokio::task::yield_now().await;
                    let _ = sender.send(item.key);
                }
            })
        })
        .collect();
    for key in 0..1000 {
        queue.add(key, Priority::ALL[key % Priority::ALL.len()]);
    }
    let mut seen = std::collections::HashSet::new();
    while seen.len() < 1000 {
        let key = tokio::time::timeout(Duration::from_secs(10), done.recv()).await.expect("a key was lost");
        seen.insert(key);
    }
    workers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn work_waits_from_when_it_could_be_taken_until_a_key_is_taken() {
    let seconds = Duration::from_secs;
    let queue = WorkQueue::new(NAMESPACES, Priority::Retry);
    let waiting = || queue.waiting().map(|waiting| (waiting.keys, waiting.age.as_secs()));
    assert_eq!(waiting(), None);
    for key in ["a", "b", "c"] {
        queue.add(key, Priority::Changed);
        tokio::time::advance(seconds(5)).await;
    }
    assert_eq!(waiting(), Some((3, 15)));
    let first = queue.next().await;
    assert_eq!(waiting(), Some((2, 0)), "a key was taken");
    tokio::time::advance(seconds(7)).await;
    assert_eq!(waiting(), Some((2, 7)));
    let (_second, third) = (queue.next().await, queue.next().await);
    assert_eq!(waiting(), None);
    // News of a key that is processed are its worker's.
    queue.add("c", Priority::New);
    assert_eq!(waiting(), None);
    drop(third);
    tokio::time::advance(seconds(2)).await;
    assert_eq!(waiting(), Some((1, 2)), "it is processed again");
    queue.clear();
    assert_eq!(waiting(), None);
    queue.add_after("d", seconds(9));
    tokio::time::advance(seconds(8)).await;
    assert_eq!(waiting(), None, "it is not due");
    tokio::time::advance(seconds(4)).await;
    assert_eq!(waiting(), Some((1, 3)));
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn work_whose_places_are_all_taken_does_not_wait_for_the_loop() {
    let most = NAMESPACES.hanging;
    let queue = WorkQueue::new(NAMESPACES, Priority::Retry);
    let mut busy = Vec::new();
    for key in 0..=most {
        queue.add(key, Priority::Retry);
    }
    while let Ok(item) = tokio::time::timeout(Duration::from_secs(1), queue.next()).await {
        busy.push(item);
    }
    assert_eq!((queue.depth(), queue.waiting()), (most + 1 - busy.len(), None));
    assert!(queue.depth() > 0);
    busy.pop();
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(queue.waiting().map(|waiting| waiting.age.as_secs()), Some(3));
    // One that takes long gives its place to the others.
    let _next = queue.next().await;
    assert_eq!(queue.waiting(), None);
}
