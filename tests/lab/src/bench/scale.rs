//! `cargo lab bench --scale`: the same measurements at three sizes along each of three axes.

use std::{ops::Range, time::Duration};

use super::{
    Args,
    layout::{Beside, Goals, Job, Layout, PlannedBinding},
    registries::registries,
    spans::grouped,
};

/// An axis, and the sizes along it.
struct Axis {
    name: &'static str,
    sizes: [usize; 3],
    layout: fn(usize, usize) -> Layout,
}

const AXES: [Axis; 4] = [
    Axis { name: "namespaces", sizes: [200, 2_000, 10_000], layout: namespaces },
    Axis { name: "own-bindings", sizes: [1, 300, 2_000], layout: own_bindings },
    Axis { name: "shared-bindings", sizes: [1, 300, 2_000], layout: shared_bindings },
    Axis { name: "registries", sizes: [1, 64, 1_000], layout: many_registries },
];

/// Registries that many bindings share.
const SHARED: usize = 8;

/// Registries of one binding at most, and so of one namespace.
const MOST_REGISTRIES: usize = 64;

/// How long an idle cluster is watched.
const REST: Duration = Duration::from_secs(30);

/// Returns the names of the axes.
pub(super) fn names() -> Vec<&'static str> {
    AXES.iter().map(|axis| axis.name).collect()
}

/// Returns the layouts to measure: of the named axes and sizes, or of all.
pub(super) fn layouts(args: &Args) -> Vec<Layout> {
    let wanted = |axis: &&Axis| args.only.is_empty() || args.only.iter().any(|name| name == axis.name);
    let layouts = AXES.iter().filter(wanted).flat_map(|axis| {
        let sizes = match args.sizes.is_empty() {
            true => axis.sizes.to_vec(),
            false => args.sizes.clone(),
        };
        sizes.into_iter().map(|size| (axis.layout)(size, args.samples as usize))
    });
    layouts.collect()
}

/// Returns a layout of one binding on so many namespaces. Before the restart, 16 bindings with many registries join.
fn namespaces(size: usize, samples: usize) -> Layout {
    let most = match size {
        ..=2_000 => 20,
        _ => 40,
    };
    let jobs = vec![
        Job::Fill,
        Job::Served,
        Job::New,
        Job::Refresh,
        Job::During,
        Job::Repair,
        Job::Registries,
        Job::Rest,
        Job::Restart,
    ];
    let goals = Goals::of_each_size(most);
    Layout {
        accounts: 5,
        instances: MORE_REGISTRIES,
        jobs,
        goals,
        rest: REST,
        ..Layout::one_binding(size, samples)
    }
}

/// The bindings that join before a restart, and their registries: with the first binding's two, a thousand.
pub(super) const MORE_BINDINGS: usize = 16;
pub(super) const MORE_REGISTRIES: usize = 998;

/// Returns the numbers of one of several equal parts.
pub(super) fn share(all: usize, part: usize, parts: usize) -> Range<usize> {
    all * part / parts..all * (part + 1) / parts
}

fn names_of(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| format!("bench-{number:05}")).collect()
}

const BINDING_JOBS: [Job; 5] = [Job::Fill, Job::Served, Job::Beside, Job::Rest, Job::Restart];

/// Returns a layout of so many bindings over 2,000 namespaces, each on its own.
fn own_bindings(size: usize, samples: usize) -> Layout {
    const NAMESPACES: usize = 2_000;
    let binding = |number: usize| PlannedBinding {
        name: format!("own-{number:05}"),
        // A binding names 256 at most.
        namespaces: match size {
            1 => vec!["bench-*".to_owned()],
            _ => names_of((number..NAMESPACES.max(size)).step_by(size)),
        },
        registries: registries([number % SHARED]),
    };
    Layout {
        title: format!("{}, each on its own namespaces", bindings(size)),
        instances: SHARED + 2,
        in_each_secret: registries([0]),
        bindings: (0..size).map(binding).collect(),
        jobs: BINDING_JOBS.to_vec(),
        goals: Goals::of_each_size(if size == 1 { 20 } else { 96 }),
        rest: REST,
        ..Layout::one_binding(NAMESPACES.max(size), samples)
    }
}

/// Returns a layout of so many bindings that all cover the same 300 namespaces.
fn shared_bindings(size: usize, samples: usize) -> Layout {
    const NAMESPACES: usize = 300;
    let binding = |number: usize| PlannedBinding {
        name: format!("shared-{number:05}"),
        namespaces: vec!["bench-*".to_owned()],
        registries: registries([number % SHARED]),
    };
    Layout {
        title: format!("{}, all on the same {NAMESPACES} namespaces", bindings(size)),
        instances: SHARED + 2,
        in_each_secret: registries(0..SHARED.min(size)),
        bindings: (0..size).map(binding).collect(),
        beside: Beside::Together,
        jobs: BINDING_JOBS.to_vec(),
        goals: Goals::of_each_size(if size == 1 { 20 } else { 96 }),
        rest: REST,
        ..Layout::one_binding(NAMESPACES, samples)
    }
}

/// Returns a layout of so many registries over 200 namespaces, at most 64 in each.
fn many_registries(size: usize, samples: usize) -> Layout {
    const NAMESPACES: usize = 200;
    let count = size.div_ceil(MOST_REGISTRIES);
    let of = |number: usize| registries(share(size, number, count));
    let binding = |number: usize| PlannedBinding {
        name: format!("registries-{number:05}"),
        namespaces: names_of((number..NAMESPACES).step_by(count)),
        registries: of(number),
    };
    Layout {
        title: if size == 1 { "1 registry".to_owned() } else { format!("{} registries", grouped(size)) },
        accounts: 5,
        instances: size,
        in_each_secret: of(0),
        bindings: (0..count).map(binding).collect(),
        jobs: vec![Job::Fill, Job::Served, Job::Refresh, Job::Rest, Job::Restart],
        goals: Goals::of_each_size(96),
        rest: REST,
        ..Layout::one_binding(NAMESPACES, samples)
    }
}

fn bindings(size: usize) -> String {
    if size == 1 { "1 binding".to_owned() } else { format!("{} bindings", grouped(size)) }
}

#[cfg(test)]
mod tests;
