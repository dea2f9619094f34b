//! The short form: few objects, and counts instead of times.

use std::time::Duration;

use acr_lab::controller::build_debug;

use super::{AXES, Layout};
use crate::bench::{layout::Job, measure, registries::registries};

/// Returns a layout of an axis in which nothing waits for longer than it must.
fn short(axis: &str, size: usize, jobs: &[Job]) -> Layout {
    let axis = AXES.iter().find(|known| known.name == axis).unwrap();
    let layout = (axis.layout)(size, 5);
    Layout { jobs: jobs.to_vec(), rest: Duration::from_secs(4), rounds: 1, ..layout }
}

/// Writes of a Secret are measured, but not compared: a slow machine cuts some, which are made again.
#[tokio::test(flavor = "multi_thread")]
async fn each_job_finishes_and_nothing_is_written_at_rest_across_a_restart_or_elsewhere() {
    let binary = build_debug().await.unwrap();
    let jobs = [Job::Fill, Job::Beside, Job::Rest, Job::Restart];
    let bindings = Layout { namespaces: 16, ..short("own-bindings", 8, &jobs) };
    let jobs = [Job::Fill, Job::Served, Job::New, Job::Refresh, Job::Repair, Job::Rest];
    let mut namespaces = short("namespaces", 10, &jobs);
    namespaces.in_each_secret = registries([0]);
    namespaces.bindings[0].registries = registries([0]);
    for (layout, counts) in [(bindings, 5), (namespaces, 1)] {
        let report = measure(layout, &binary).await.unwrap();
        assert_eq!(report.counted_jobs().len(), counts, "{:?}", report.counted_jobs());
        assert_eq!(report.missed_counts(), Vec::<String>::new());
    }
}

#[test]
fn every_namespace_of_a_layout_has_a_binding_and_no_more_registries_than_a_secret_holds() {
    for axis in &AXES {
        for size in axis.sizes {
            let layout = (axis.layout)(size, 1);
            let selected = layout.bindings.iter().flat_map(|binding| &binding.namespaces);
            let names: std::collections::BTreeSet<&String> = selected.collect();
            let all = names.len() == layout.namespaces || names.iter().all(|name| name.ends_with('*'));
            assert!(all, "{}: {} of {} namespaces", layout.title, names.len(), layout.namespaces);
            let each = layout.in_each_secret.as_array().map_or(0, Vec::len);
            assert!((1..=64).contains(&each), "{}: {each} registries", layout.title);
        }
    }
}
