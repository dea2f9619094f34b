//! The loops in virtual time: the scheduler, the namespace and binding loops, back-off and plans run against a model API
//! server, under a clock that jumps to the next event. Thousands of schedules take a minute.
//!
//! `ACR_SIMULATIONS` and `ACR_SIMULATION_SEED` say how many schedules and from which one on, and `ACR_SIMULATION_LOG` is a
//! filter of the log.
//!
//! A seed decides what a schedule does. The order of equal events is tokio's, so that a seed is a class of runs.

mod cluster;
mod server;
mod world;

use std::time::Duration;

use self::world::{SimulatedWorld, simulate};

/// The longest time for which a healthy object waits, however many others hang: a write that hangs keeps its place for
/// one second.
const HEALTHY: Duration = Duration::from_millis(1_500);

/// Runs random steps while every fourth write goes wrong, and checks the promises at their end.
fn random(seed: u64) {
    simulate(seed, async |world: &mut SimulatedWorld| {
        world.random_steps(25).await;
        world.settle().await;
        let checked = world.check().await;
        checked.unwrap_or_else(|broken| panic!("seed {seed}: {broken}\n{}", world.history()));
    });
}

#[test]
fn random_schedules_keep_the_promises() {
    let first = std::env::var("ACR_SIMULATION_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let count = std::env::var("ACR_SIMULATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(60);
    for seed in first..first + count {
        random(seed);
    }
}

/// The binding's namespaces change while writes hang in one of them, and the entry that such a write adds comes after the
/// plan of the withdrawal, which found nothing to take out yet.
#[test]
fn an_entry_that_comes_after_the_plan_of_its_withdrawal_is_taken_out() {
    random(39);
}

/// A binding is deleted while writes hang, and what they would have made is not wanted any more when they end.
#[test]
fn a_namespace_whose_hanging_writes_are_not_wanted_any_more_is_reported_as_it_is() {
    random(2122);
}

/// A write adds our entry and its answer is lost, the binding leaves the namespace, and the event of the write comes last.
#[test]
fn an_entry_whose_write_had_no_answer_is_taken_out_of_a_namespace_that_left_its_binding() {
    simulate(4, async |world: &mut SimulatedWorld| {
        world.bind("b0", &["left", "other"]);
        world.create_namespace("other", 1);
        world.create_namespace("left", 0);
        world.settle().await;
        world.server.silence("left");
        world.create_account("left", "default", &["theirs"]);
        world.until_attached("left", "default").await;
        world.bind("b0", &["other"]);
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.server.end_silence();
        world.settle().await;
        let checked = world.check().await;
        checked.unwrap_or_else(|broken| panic!("{broken}\n{}", world.history()));
    });
}

/// Two namespaces of 81 accounts hang, and fall due together again and again.
#[test]
fn a_new_account_is_served_at_once_while_two_large_namespaces_hang() {
    hang(2, 81);
}

/// Sixty namespaces hang, each with two accounts: more than there are places for what hangs.
#[test]
fn a_new_account_is_served_at_once_while_many_namespaces_hang() {
    hang(60, 2);
}

fn hang(namespaces: usize, accounts: usize) {
    simulate(1, async |world: &mut SimulatedWorld| {
        world.bind("all", &["*"]);
        world.create_namespace("healthy", 1);
        world.settle().await;
        for number in 0..namespaces {
            let name = format!("hung-{number}");
            world.server.hang(&name);
            world.create_namespace(&name, accounts);
        }
        // Across several waves of retries.
        for number in 0..120 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let account = format!("late-{number}");
            world.create_account("healthy", &account, &[]);
            let waited = world.until_attached("healthy", &account).await;
            assert!(waited <= HEALTHY, "account {number} waited {waited:?}");
        }
    });
}

/// One account is always refused, and others annotate each new account while our write is on its way.
#[test]
fn accounts_beside_a_refused_one_are_served_although_others_annotate_them() {
    simulate(2, async |world: &mut SimulatedWorld| {
        world.bind("all", &["*"]);
        world.server.refuse("busy", "refused");
        world.server.annotate_accounts();
        world.create_namespace("busy", 1);
        world.create_account("busy", "refused", &[]);
        world.settle().await;
        for number in 0..40 {
            world.create_account("busy", &format!("new-{number}"), &["theirs"]);
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        for number in 0..40 {
            let waited = world.until_attached("busy", &format!("new-{number}")).await;
            assert!(waited <= HEALTHY, "account {number} waited {waited:?}");
        }
    });
}
