//! The tables: one row a neighbour.

use std::{thread::available_parallelism, time::Duration};

use super::{
    Args,
    victim::{NEVER, Phase},
};
use crate::bench::{
    report::{mebibytes, table},
    spans::{ratio, seconds},
};

/// How much slower the slowest of a hundred may be beside a neighbour.
const MOST: f64 = 2.0;

/// The most memory that a Deployment allows, in KiB.
const LIMIT_KIB: u64 = super::LIMIT / 1024;

/// What a neighbour did, besides to the victim.
#[derive(Default)]
pub(super) struct Found {
    /// What is worth a note.
    pub(super) note: String,
    /// What it broke besides the victim.
    pub(super) broken: Vec<String>,
    /// Of a fault that hit everyone: from its end until a bare client's first success, and the controller's.
    pub(super) recovery: Option<(Duration, Duration)>,
}

impl Found {
    /// Returns a note alone.
    pub(super) fn note(note: impl Into<String>) -> Found {
        Found { note: note.into(), ..Found::default() }
    }

    /// Adds what it broke, unless that holds.
    #[must_use]
    pub(super) fn unless(mut self, holds: bool, broken: impl Into<String>) -> Found {
        if !holds {
            self.broken.push(broken.into());
        }
        self
    }
}

/// One measured row.
pub(super) struct Outcome {
    /// The neighbour.
    pub(super) title: &'static str,
    /// What it did besides.
    pub(super) found: Found,
    /// Before, during and after the fault.
    pub(super) phases: [Phase; 3],
    /// How often the controller ended by itself.
    pub(super) ends: u32,
    /// How often the kernel ended it.
    pub(super) oom_kills: u64,
    /// The most memory that it held.
    pub(super) peak_rss_kib: u64,
}

const HEAD: [&str; 9] = [
    "neighbour",
    "new account without it, p50 / p99",
    "beside it",
    "p99, ratio: entry; bare create call",
    "refresh: without; beside",
    "needless writes; own cloud calls: without; beside",
    "CPU: without; beside",
    "peak RSS",
    "promise",
];

impl Outcome {
    /// Returns p99 beside the neighbour, as a multiple of the slower of the two runs without it.
    fn slower(&self) -> f64 {
        let [before, during, after] = &self.phases;
        ratio(during.windows.p99(), before.windows.p99().max(after.windows.p99()))
    }

    /// Returns how much slower a bare create call was beside the neighbour. The machine and the API server are
    /// shared by all, so that this part is not the controller's.
    fn bare_slower(&self) -> f64 {
        let [before, during, after] = &self.phases;
        ratio(during.creates.p99(), before.creates.p99().max(after.creates.p99())).max(1.0)
    }

    /// Returns what broke; empty if nothing did. A fault that hits everyone is measured by its recovery.
    fn broken(&self) -> Vec<String> {
        let [before, during, after] = &self.phases;
        let mut broken = self.found.broken.clone();
        if self.found.recovery.is_none() {
            if during.never > 0 {
                broken.push(format!("{} accounts had no entry after {} s", during.never, NEVER.as_secs()));
            }
            if self.slower() > MOST * self.bare_slower() {
                let (entry, bare) = (self.slower(), self.bare_slower());
                broken.push(format!("p99 is {entry:.1} × that without it, a bare create call's {bare:.1} ×"));
            }
            if during.refused > 0 {
                broken.push(format!("{} create calls were refused ({})", during.refused, during.reason));
            }
            if during.refresh.is_none() {
                broken.push("the refresh did not come".to_owned());
            }
            if self.ends > 0 {
                broken.push(format!("the controller ended {} times", self.ends));
            }
        }
        let most = before.extra_writes.max(after.extra_writes).max(0);
        if during.extra_writes > most {
            broken.push(format!("{} needless writes of the victim's objects", during.extra_writes));
        }
        if during.own_calls > before.own_calls.max(after.own_calls) {
            broken.push(format!("{} cloud calls for the victim's registry", during.own_calls));
        }
        if self.oom_kills > 0 {
            broken.push(format!("the kernel ended the controller {} times", self.oom_kills));
        } else if self.peak_rss_kib > LIMIT_KIB {
            broken.push("more memory than the limit".to_owned());
        }
        if after.never > 0 || after.refused > 0 {
            broken.push(format!("after it, {} had no entry, {} were refused", after.never, after.refused));
        }
        broken
    }

    fn cells(&self) -> [String; 9] {
        let [before, during, _] = &self.phases;
        let both = |of: fn(&Phase) -> String| format!("{}; {}", of(before), of(during));
        let memory = match self.oom_kills {
            0 => mebibytes(self.peak_rss_kib),
            kills => format!("{}; killed {kills} ×", mebibytes(self.peak_rss_kib)),
        };
        [
            self.title.to_owned(),
            windows(before),
            windows(during),
            format!("{:.1} ×; {:.1} ×", self.slower(), self.bare_slower()),
            both(|phase| phase.refresh.map_or_else(|| "never".to_owned(), seconds)),
            both(|phase| format!("{}, {}", phase.extra_writes, phase.own_calls)),
            both(cpu),
            memory,
            self.verdict(),
        ]
    }

    fn verdict(&self) -> String {
        let broken = self.broken();
        match self.found.recovery {
            _ if !broken.is_empty() => broken.join("; "),
            None => "holds".to_owned(),
            Some((bare, controller)) => {
                let ends = match self.ends {
                    0 => String::new(),
                    1 => "; the process ended once".to_owned(),
                    ends => format!("; the process ended {ends} times"),
                };
                format!("recovers {} after a bare client{ends}", seconds(controller.saturating_sub(bare)))
            }
        }
    }

    /// Returns the figures as text, one a line.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for phase in &self.phases {
            text.push_str(&format!(
                "   {:6} {:5.1} s: entry {}; create p99 {}; refused {}{}; refresh {}; needless writes {}; status {}; \
                 cache {}; other writes {}; 429/5xx {}; calls {} + {}; CPU {}\n",
                phase.name,
                phase.wall.as_secs_f64(),
                windows(phase),
                millis(phase.creates.p99()),
                phase.refused,
                if phase.reason.is_empty() { String::new() } else { format!(" ({})", phase.reason) },
                phase.refresh.map_or_else(|| "never".to_owned(), seconds),
                phase.extra_writes,
                phase.status_writes,
                phase.cache_writes,
                phase.other_writes,
                phase.failed_requests,
                phase.own_calls,
                phase.other_calls,
                cpu(phase),
            ));
        }
        text.push_str(&format!(
            "   peak RSS {}, ended {} ×, killed by the kernel {} ×; {}\n",
            mebibytes(self.peak_rss_kib),
            self.ends,
            self.oom_kills,
            self.found.note
        ));
        if let Some((bare, controller)) = self.found.recovery {
            let (bare, controller) = (seconds(bare), seconds(controller));
            text.push_str(&format!(
                "   recovery: a bare client after {bare}, the controller after {controller}\n"
            ));
        }
        text.push_str(&format!("   {}", self.verdict()));
        text
    }
}

/// All rows.
pub(super) struct Report {
    conditions: String,
    outcomes: Vec<Outcome>,
}

impl Report {
    /// Returns an empty report of a run with these arguments.
    pub(super) fn new(args: &Args) -> Report {
        let cores = available_parallelism().map(usize::from).unwrap_or(1);
        let conditions = format!(
            "{} accounts in {} s, over ten namespaces of one binding; {cores} cores for the controller, the control \
             plane, the neighbour and the measurement together. The controller runs in a memory cgroup of 128 MiB.",
            args.samples, args.seconds
        );
        Report { conditions, outcomes: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    /// Returns the tables in Markdown, as the documentation shows them.
    pub(super) fn markdown(&self) -> String {
        let figures: Vec<_> = self.outcomes.iter().map(Outcome::cells).collect();
        let noted = self.outcomes.iter().filter(|outcome| !outcome.found.note.is_empty());
        let notes: Vec<_> =
            noted.map(|outcome| [outcome.title.to_owned(), outcome.found.note.clone()]).collect();
        let recoveries = self.outcomes.iter().filter_map(|outcome| {
            let (bare, controller) = outcome.found.recovery?;
            let during = &outcome.phases[1];
            Some([
                outcome.title.to_owned(),
                format!("{} of {}", during.refused, during.refused + during.creates.len()),
                during.failed_requests.to_string(),
                seconds(bare),
                seconds(controller),
            ])
        });
        let recoveries: Vec<_> = recoveries.collect();
        let mut text = format!("{}\n\n{}\n", self.conditions, table(&HEAD, &figures));
        text.push_str(&table(&["neighbour", "what else was seen"], &notes));
        if !recoveries.is_empty() {
            let head = [
                "fault of all",
                "bare create calls refused",
                "the controller's requests refused",
                "recovery: bare client",
                "controller",
            ];
            text.push('\n');
            text.push_str(&table(&head, &recoveries));
        }
        text
    }
}

/// Formats p50 and p99, and how many accounts never had their entry.
fn windows(phase: &Phase) -> String {
    match (phase.windows.len(), phase.never) {
        (0, never) => format!("never ({never} accounts)"),
        (_, 0) => phase.windows.both(),
        (_, never) => format!("{}, {never} never", phase.windows.both()),
    }
}

fn millis(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1000.0)
}

/// Formats processor time as a share of one core.
fn cpu(phase: &Phase) -> String {
    format!("{:.0} %", 100.0 * ratio(phase.cpu, phase.wall))
}
