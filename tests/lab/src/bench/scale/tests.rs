//! The short form: few objects, and counts instead of times.

use std::time::Duration;

use acr_lab::controller::build_debug;

use super::{AXES, Layout};
use crate::bench::{layout::Job, measure};

/// Returns a layout of an axis in which nothing waits for longer than it must.
fn short(axis: &str, size: usize, jobs: &[Job]) -> Layout {
    let axis = AXES.iter().find(|known| known.name == axis).unwrap();
    let layout = (axis.layout)(size, 5);
    Layout { jobs: jobs.to_vec(), rest: Duration::from_secs(4), rounds: 1, ..layout }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_costs_as_many_writes_as_it_must() {
    let binary = build_debug().await.unwrap();
    let jobs = [Job::Fill, Job::Refresh, Job::Rest, Job::Restart];
    let registries = Layout { namespaces: 10, ..short("registries", 128, &jobs) };
    let jobs = [Job::Fill, Job::Served, Job::New, Job::Repair, Job::Beside];
    let namespaces = short("namespaces", 10, &jobs);
    for layout in [registries, namespaces] {
        let report = measure(layout, &binary).await.unwrap();
        assert!(report.counted_jobs().len() >= 3, "{:?}", report.counted_jobs());
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
