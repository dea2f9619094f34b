//! What one run of the bench measures: its size, its bindings, its jobs and its goals.

use std::time::Duration;

use serde_json::{Value, json};

use super::{call::Call, scout, spans::grouped};

/// The name of the only binding, where there is one.
const BINDING: &str = "bench";

/// Everything that a run measures.
pub(super) struct Layout {
    /// What distinguishes it from the other layouts, for readers.
    pub(super) title: String,
    /// Namespaces that the bindings cover.
    pub(super) namespaces: usize,
    /// ServiceAccounts of each; the cluster creates the first.
    pub(super) accounts: usize,
    /// ServiceAccounts that are created to measure a race window.
    pub(super) samples: usize,
    /// Further instances that the cloud has.
    pub(super) instances: usize,
    /// The registries whose credentials each Secret holds.
    pub(super) in_each_secret: Value,
    /// The bindings that are made together.
    pub(super) bindings: Vec<PlannedBinding>,
    /// The binding that is made, edited and deleted beside them.
    pub(super) beside: Beside,
    /// The measurements, in their order.
    pub(super) jobs: Vec<Job>,
    /// What they must reach.
    pub(super) goals: Goals,
    /// How long the idle cluster is watched.
    pub(super) rest: Duration,
    /// How often the binding beside the others is made, edited and deleted.
    pub(super) rounds: usize,
}

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    Fill,
    Served,
    New,
    Refresh,
    During,
    Repair,
    ConfigMap,
    Beside,
    Registries,
    Rest,
    Restart,
}

/// A binding to make.
pub(super) struct PlannedBinding {
    /// Its name.
    pub(super) name: String,
    /// The namespaces that it selects.
    pub(super) namespaces: Vec<String>,
    /// Its registries.
    pub(super) registries: Value,
}

impl PlannedBinding {
    /// Returns the request that creates it.
    pub(super) fn create(&self) -> Call {
        scout::binding(&self.name, &self.namespaces, &self.registries)
    }
}

/// The namespaces of the binding that is made beside all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// Five that no other binding covers.
    Apart,
    /// Those of all the others.
    Together,
}

/// A goal for p50, if there is one, and one for p99.
pub(super) type RaceGoal = (Option<f64>, f64);

/// What the measurements must reach, most of it as a multiple of the floor.
pub(super) struct Goals {
    pub(super) fill: f64,
    pub(super) refresh: f64,
    pub(super) repair: Option<f64>,
    pub(super) served: RaceGoal,
    pub(super) new: RaceGoal,
    pub(super) during: Option<RaceGoal>,
    /// In MiB.
    pub(super) peak_rss: u64,
}

impl Goals {
    /// Returns the goals of the bench of one size.
    fn of_one_size() -> Goals {
        Goals {
            fill: 1.2,
            refresh: 1.2,
            repair: None,
            served: (Some(0.9), 1.0),
            new: (Some(1.2), 2.0),
            during: None,
            peak_rss: 20,
        }
    }

    /// Returns the goals that hold at each size.
    pub(super) fn of_each_size(peak_rss: u64) -> Goals {
        Goals {
            fill: 1.1,
            refresh: 1.1,
            repair: Some(1.1),
            served: (Some(1.0), 1.0),
            new: (Some(1.1), 2.0),
            during: Some((None, 2.0)),
            peak_rss,
        }
    }
}

impl Layout {
    /// Returns the layout of `cargo lab bench`: one binding with two registries, and three ServiceAccounts in each
    /// namespace.
    pub(super) fn one_binding(namespaces: usize, samples: usize) -> Layout {
        let registries = json!([
            { "instanceId": "cri-demo0001", "regionId": "cn-hangzhou" },
            { "instanceId": "cri-demo0002", "regionId": "cn-beijing" },
        ]);
        let everywhere = vec!["bench-*".to_owned()];
        let binding = PlannedBinding {
            name: BINDING.to_owned(),
            namespaces: everywhere,
            registries: registries.clone(),
        };
        Layout {
            title: format!("{} namespaces", grouped(namespaces)),
            namespaces,
            accounts: 3,
            samples,
            instances: 0,
            in_each_secret: registries,
            bindings: vec![binding],
            beside: Beside::Apart,
            jobs: vec![
                Job::Fill,
                Job::Served,
                Job::New,
                Job::Refresh,
                Job::During,
                Job::Repair,
                Job::ConfigMap,
                Job::Rest,
                Job::Restart,
            ],
            goals: Goals::of_one_size(),
            rest: Duration::from_secs(30),
            rounds: 3,
        }
    }

    /// Describes the layout in one sentence.
    pub(super) fn describe(&self) -> String {
        let each = self.in_each_secret.as_array().map_or(0, Vec::len);
        let plural = |count: usize, word: &str, words: &str| match count {
            1 => format!("one {word}"),
            _ => format!("{} {words}", grouped(count)),
        };
        format!(
            "{} namespaces × {} ServiceAccounts under {} with {} in each Secret, and as many namespaces beside them for \
             the floor, which the controller watches too",
            grouped(self.namespaces),
            self.accounts,
            plural(self.bindings.len(), "binding", "bindings"),
            plural(each, "registry", "registries"),
        )
    }
}
