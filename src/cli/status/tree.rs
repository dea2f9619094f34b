//! The tree of a status.

use std::io;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::report::{BindingReport, BindingsReport, FailingNamespace, RegistryReport};
use crate::model::{count, duration};

/// Failing namespaces that are listed of a binding, unless all are requested.
const LISTED: usize = 10;

/// Characters of text that a line has at least, however narrow the terminal is.
const NARROWEST: usize = 16;

/// How the tree is drawn.
#[derive(Clone, Copy, Debug)]
pub struct TreeStyle {
    /// Characters of a line; no limit where the output is not a terminal.
    pub width: Option<usize>,
    /// Whether states are coloured.
    pub colour: bool,
    /// Whether domains, times and all failing namespaces are shown.
    pub wide: bool,
    /// The time on the wall clock.
    pub now: Timestamp,
}

/// Meaning of a line, which is its colour.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Plain,
    Good,
    Bad,
}

/// A line with those below it.
struct Branch {
    text: String,
    tone: Tone,
    below: Vec<Branch>,
}

impl Branch {
    fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone, below: Vec::new() }
    }
}

impl BindingsReport {
    /// Draws the bindings, each as a tree.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write_tree(&self, style: &TreeStyle, to: &mut dyn io::Write) -> io::Result<()> {
        if self.bindings.is_empty() {
            return writeln!(to, "no AcrCredentialBinding exists: apply one first");
        }
        self.bindings
            .iter()
            .try_for_each(|binding| write_branch(&of_binding(binding, style), "", "", style, to))
    }
}

fn of_binding(binding: &BindingReport, style: &TreeStyle) -> Branch {
    let BindingReport { name, reason, message, namespaces, service_accounts, .. } = binding;
    let mut head = match binding.ready.as_str() {
        "True" if reason == "Succeeded" => Branch::new(Tone::Good, format!("{name}: ready")),
        "True" => Branch::new(Tone::Bad, format!("{name}: ready, {reason}")),
        "False" => Branch::new(Tone::Bad, format!("{name}: not ready, {reason}")),
        _ if reason.is_empty() => Branch::new(
            Tone::Bad,
            format!(
                "{name}: the controller has not reported on it yet; kubectl acr check says whether it works"
            ),
        ),
        _ => Branch::new(Tone::Bad, format!("{name}: unknown, {reason}")),
    };
    if head.tone == Tone::Bad && !message.is_empty() {
        head.below.push(Branch::new(Tone::Plain, message));
    }
    if !binding.current && !reason.is_empty() {
        head.below.push(Branch::new(Tone::Bad, "the controller has not handled the latest change of it yet"));
    }
    if binding.from_config_map {
        head.below.push(Branch::new(Tone::Plain, "made from the ConfigMap kube-system/acr-configuration"));
    }
    if binding.suspended && reason != "Suspended" {
        head.below.push(Branch::new(Tone::Bad, "suspended"));
    }
    for problem in &binding.problems {
        let text = format!("{}, {}: {}", problem.kind, problem.reason, problem.message);
        head.below.push(Branch::new(Tone::Bad, text));
    }
    if reason.is_empty() {
        return head;
    }
    head.below.extend(binding.registries.iter().map(|registry| of_registry(registry, style)));
    let mut covered =
        Branch::new(Tone::Plain, format!("{}/{} namespaces ready", namespaces.ready, namespaces.matched));
    let listed = if style.wide { binding.failing.len() } else { LISTED.min(binding.failing.len()) };
    // In the order of their names: one that fails for several reasons may be listed by some of them.
    let (shown, rest) = binding.failing.split_at(listed);
    covered.below.extend(shown.iter().map(of_namespace));
    let last = shown.last().map(|item| item.namespace.as_str());
    let mut unlisted: Vec<&str> = rest.iter().map(|item| item.namespace.as_str()).collect();
    unlisted.dedup();
    unlisted.retain(|name| Some(*name) != last);
    let more = unlisted.len() + usize::try_from(binding.failing_omitted).unwrap_or_default();
    if more > 0 {
        let one = if listed == 0 { "namespace is" } else { "more is" };
        let many = if listed == 0 { "namespaces are" } else { "more are" };
        covered.below.push(Branch::new(Tone::Bad, format!("{} not ready", count(more, one, many))));
    }
    head.below.push(covered);
    let accounts =
        format!("{}/{} ServiceAccounts have the entry", service_accounts.bound, service_accounts.matched);
    head.below.push(Branch::new(Tone::Plain, accounts));
    head
}

fn of_registry(registry: &RegistryReport, style: &TreeStyle) -> Branch {
    let place = format!("{} in {} as {}", registry.registry, registry.region_id, registry.identity);
    let left = registry.expires_at.as_ref().map(|expiry| expiry.0.as_second() - style.now.as_second());
    let mut branch = match left {
        Some(left @ 1..) => {
            let tone = if registry.issued == "True" { Tone::Good } else { Tone::Bad };
            Branch::new(tone, format!("{place}: valid for {}", time_left(left)))
        }
        Some(_) => Branch::new(Tone::Bad, format!("{place}: expired")),
        None => Branch::new(Tone::Bad, format!("{place}: no credential")),
    };
    if registry.issued != "True" && !registry.reason.is_empty() {
        branch.below.push(Branch::new(Tone::Bad, format!("{}: {}", registry.reason, registry.message)));
    }
    if style.wide {
        if !registry.domains.is_empty() {
            branch.below.push(Branch::new(Tone::Plain, format!("for {}", registry.domains.join(", "))));
        }
        let times = [("refreshed", &registry.refreshed_at), ("next refresh", &registry.next_refresh_at)];
        for (what, time) in times {
            let line = time.as_ref().map(|time| Branch::new(Tone::Plain, format!("{what} {}", time.0)));
            branch.below.extend(line);
        }
    }
    branch
}

fn of_namespace(item: &FailingNamespace) -> Branch {
    let registries = item.registries.join(", ");
    let mut text = format!("{}, {registries}: {}", item.namespace, item.reason);
    if !item.message.is_empty() {
        text.push_str(": ");
        text.push_str(&item.message);
    }
    Branch::new(Tone::Bad, text)
}

/// Returns a time in whole minutes, or in seconds if it is shorter than two.
fn time_left(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or_default();
    let whole = if seconds < 120 { seconds } else { seconds / 60 * 60 };
    duration::format(Duration::from_secs(whole))
}

/// Writes a line and those below it. `first` begins its first row, and `rest` all that follow.
fn write_branch(
    branch: &Branch,
    first: &str,
    rest: &str,
    style: &TreeStyle,
    to: &mut dyn io::Write,
) -> io::Result<()> {
    let (start, end) = match (style.colour, branch.tone) {
        (false, _) | (_, Tone::Plain) => ("", ""),
        (true, Tone::Good) => ("\u{1b}[32m", "\u{1b}[0m"),
        (true, Tone::Bad) => ("\u{1b}[31m", "\u{1b}[0m"),
    };
    let room = style.width.map(|width| width.saturating_sub(first.chars().count()).max(NARROWEST));
    let below = if branch.below.is_empty() { "" } else { "│ " };
    for (number, row) in rows(&branch.text, room, below.chars().count()).iter().enumerate() {
        match number {
            0 => writeln!(to, "{first}{start}{row}{end}")?,
            _ => writeln!(to, "{rest}{below}{start}{row}{end}")?,
        }
    }
    for (number, child) in branch.below.iter().enumerate() {
        let (fork, bar) =
            if number + 1 == branch.below.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        write_branch(child, &format!("{rest}{fork}"), &format!("{rest}{bar}"), style, to)?;
    }
    Ok(())
}

/// Breaks text into rows between words, and longer words anywhere. Rows after the first are shorter by an indent.
fn rows(text: &str, room: Option<usize>, indent: usize) -> Vec<String> {
    let Some(room) = room else { return vec![text.to_owned()] };
    let next = room.saturating_sub(indent).max(1);
    let (mut done, mut row, mut left) = (Vec::new(), String::new(), room);
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if !row.is_empty() && word.len() < left {
            row.push(' ');
            left -= 1;
        } else if !row.is_empty() {
            done.push(std::mem::take(&mut row));
            left = next;
        }
        while word.len() > left {
            let tail = word.split_off(left);
            row.extend(word);
            done.push(std::mem::take(&mut row));
            (word, left) = (tail, next);
        }
        left -= word.len();
        row.extend(word);
    }
    done.push(row);
    done
}
