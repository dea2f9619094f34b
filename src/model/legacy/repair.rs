//! A text with the slips mended that people make again and again, and the way back to what they wrote.

use std::ops::Range;

use super::code::Code;
use super::slips::Walk;
use crate::api::legacy::{Node, Value};

/// One change to a text. It holds nothing of a secret's value.
pub(super) struct Repair {
    pub(super) code: Code,
    pub(super) span: Range<usize>,
    pub(super) text: String,
    /// Whether it may be proposed as it is. One that only takes a key out of the list's way may not.
    pub(super) proposed: bool,
}

/// A text with its repairs applied.
pub(super) struct Repaired {
    pub(super) text: String,
    /// In their order.
    pub(super) repairs: Vec<Repair>,
    /// Where each repair begins in the repaired text.
    starts: Vec<usize>,
    /// Keys of `data` that stood beneath the list, with their values.
    pub(super) beneath: Vec<(&'static str, String)>,
}

/// Repairs a text of maps with these keys, in a list or, for settings, one alone.
pub(super) fn repair(text: &str, known: &[&'static str], in_list: bool) -> Repaired {
    let mut walk = Walk::new(known, in_list);
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        walk.line(at, line.trim_end_matches(['\n', '\r']));
        at += line.len();
    }
    walk.repairs.sort_by_key(|repair| (repair.span.start, repair.span.end));
    let mut repaired = Repaired {
        text: String::with_capacity(text.len() + walk.repairs.len() * 4),
        repairs: Vec::new(),
        starts: Vec::new(),
        beneath: walk.beneath,
    };
    let mut done = 0;
    for repair in walk.repairs {
        let Some(kept) = text.get(done..repair.span.start) else { continue };
        repaired.text.push_str(kept);
        repaired.starts.push(repaired.text.len());
        repaired.text.push_str(&repair.text);
        done = repair.span.end;
        repaired.repairs.push(repair);
    }
    repaired.text.push_str(text.get(done..).unwrap_or_default());
    repaired
}

impl Repaired {
    /// Where a byte of the repaired text was in the original. What a repair put in is where it was put.
    fn back(&self, at: usize) -> usize {
        let before = self.starts.partition_point(|start| *start <= at);
        let last = before.checked_sub(1).and_then(|last| self.repairs.get(last).zip(self.starts.get(last)));
        let Some((repair, start)) = last else { return at };
        match (at - start).checked_sub(repair.text.len()) {
            Some(beyond) => repair.span.end + beyond,
            None => repair.span.start,
        }
    }

    /// Gives the nodes of the repaired text their places in the original.
    pub(super) fn relocate(&self, node: &mut Node) {
        let back = |span: &mut Option<Range<usize>>| {
            *span = span.take().map(|span| self.back(span.start)..self.back(span.end));
        };
        shift(node, &back);
    }
}

/// Changes the places of a node and of all within it.
pub(super) fn shift(node: &mut Node, change: &impl Fn(&mut Option<Range<usize>>)) {
    change(&mut node.span);
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| shift(item, change)),
        Value::Map(pairs) => {
            for pair in pairs {
                change(&mut pair.key_span);
                shift(&mut pair.value, change);
            }
        }
        Value::Null | Value::Text(_) => {}
    }
}
