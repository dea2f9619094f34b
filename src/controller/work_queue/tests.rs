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
