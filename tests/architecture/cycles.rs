//! Circles of modules.
//!
//! # The rule
//! A module depends on the module that *defines* what it names, not on the one that re-exports it. A parent that
//! declares or re-exports its children does not depend on them; one whose own code uses them does. So a child may use
//! its parent's items as long as the parent's code uses nothing of the child, directly or through others.
//! Test code does not count.

use std::collections::{BTreeMap, BTreeSet};

use crate::modules::{Modules, Use};

type Edges = BTreeMap<usize, BTreeMap<usize, Use>>;

/// Returns the circles of modules, each as a text that names its arrows and one place for each of them.
pub fn circles(modules: &Modules) -> Vec<String> {
    let edges = edges(modules);
    let reached: BTreeMap<usize, BTreeSet<usize>> =
        edges.keys().map(|from| (*from, reachable(&edges, *from))).collect();
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    let mut circles = Vec::new();
    for (from, to) in &reached {
        if !to.contains(from) || seen.contains(from) {
            continue;
        }
        let circle: BTreeSet<usize> = to
            .iter()
            .copied()
            .filter(|other| reached.get(other).is_some_and(|back| back.contains(from)))
            .collect();
        seen.extend(&circle);
        circles.push(describe(modules, &edges, &circle));
    }
    circles
}

fn edges(modules: &Modules) -> Edges {
    let mut edges = Edges::new();
    for from in 0..modules.0.len() {
        for found in modules.uses(from).into_iter().filter(|found| found.counts && found.defined_in != from) {
            edges.entry(from).or_default().entry(found.defined_in).or_insert(found);
        }
    }
    edges
}

fn reachable(edges: &Edges, from: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(next) = open.pop() {
        for to in edges.get(&next).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(*to) {
                open.push(*to);
            }
        }
    }
    reached
}

fn describe(modules: &Modules, edges: &Edges, circle: &BTreeSet<usize>) -> String {
    let mut text = format!(
        "{}: {} modules in a circle",
        circle.first().map_or("", |first| modules.room(*first)),
        circle.len()
    );
    for from in circle {
        for (to, found) in edges.get(from).into_iter().flatten().filter(|(to, _)| circle.contains(to)) {
            text.push_str(&format!(
                "\n    {} → {} ({}:{} {})",
                modules.name(*from),
                modules.name(*to),
                modules.0[*from].file,
                found.line,
                found.path
            ));
        }
    }
    text
}
