//! Random schedules of a user's steps and of faults, each from a seed.
//!
//! A seed that failed stays here as a test of its own, named after what it found.

use acr_lab::trial::{Schedule, daily_seed};

use super::{assert_nothing_leaked, rig};

/// Four that stay, so that a failure is seen again, and that of the day, so that each day tries another.
#[tokio::test(flavor = "multi_thread")]
async fn random_faults_change_no_end() {
    // After a restart, what no status names any more stays for the grace.
    let rig = rig(2, &["--withdrawal-grace=2s"]).await;
    for seed in [1, 2, 3, 4, daily_seed()] {
        println!("seed {seed}: cargo lab faults --schedules 1 --seed {seed}");
        (Schedule { seed }).run(&rig).await.unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
    }
    assert_nothing_leaked(&rig);
}
