//! The results, as tables in Markdown.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{
    identities::{EACH, WAYS, registries, way_of},
    minimum::Pace,
    rounds::{Round, TOKEN, Window},
    writes::Writes,
};
use crate::bench::{
    report::{mebibytes, table},
    spans::{Spans, grouped, seconds},
};

/// Everything that was measured.
pub(super) struct Report {
    pub(super) pace: Pace,
    pub(super) namespaces: usize,
    /// Minutes of the cloud between the first and the second binding.
    pub(super) apart: Option<u32>,
    pub(super) window: Window,
    pub(super) writes: Writes,
    /// How long tokens were used, by identity.
    pub(super) uses: [Spans; WAYS.len()],
    /// Duration of the fill.
    pub(super) fill: Duration,
    /// The most memory that the controller held: until the fill was done, and in total.
    pub(super) peak_rss_kib: (u64, u64),
    /// The processor time that it used in the window.
    pub(super) cpu: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.conditions())?;
        let actions = table(&["calls of the cloud", "count", "an hour", "fewest", "ratio"], &self.actions());
        let head = ["tokens by identity", "an hour", "fewest", "ratio", "used for, shortest / p50 of most"];
        let identities = table(&head, &self.identities());
        let cluster = table(&["in the cluster", "a round"], &self.cluster());
        let rounds =
            table(&["round", "after", "calls", "calls took", "Secrets written after"], &self.rounds());
        write!(f, "{actions}\n{identities}\n{cluster}\n{rounds}\n{}", self.caveats())
    }
}

impl Report {
    fn conditions(&self) -> String {
        let bindings = match self.apart {
            None => "one binding".to_owned(),
            Some(minutes) => format!("two bindings, the second of which was made {minutes} min later,"),
        };
        format!(
            "{} Enterprise instances over {} identities under {bindings} for {} namespaces; {} rounds in {:.1} \
             hours of the cloud, each of which took {:.0} s.",
            registries(),
            WAYS.len(),
            grouped(self.namespaces),
            self.window.rounds.len(),
            self.hours(),
            3600.0 / f64::from(self.pace.speed)
        )
    }

    fn hours(&self) -> f64 {
        self.pace.minutes(self.window.length()) / 60.0
    }

    fn actions(&self) -> Vec<[String; 5]> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for call in self.window.calls() {
            *counts.entry(&call.action).or_default() += 1;
        }
        let mut rows = Vec::new();
        for action in self.pace.actions() {
            let count = counts.remove(action.name).unwrap_or_default();
            let [an_hour, fewest, ratio] = self.held_against(count as f64, action.fewest);
            rows.push([action.name.to_owned(), count.to_string(), an_hour, fewest, ratio]);
        }
        // No other action is needed.
        for (action, count) in counts {
            let [an_hour, ..] = self.held_against(count as f64, 0.0);
            rows.push([action.to_owned(), count.to_string(), an_hour, "0".to_owned(), String::new()]);
        }
        rows
    }

    fn identities(&self) -> Vec<[String; 5]> {
        let mut counts = [0; WAYS.len()];
        for call in self.window.calls().filter(|call| call.action == TOKEN) {
            if let Some(way) = call.instance.as_deref().and_then(way_of) {
                counts[way] += 1;
            }
        }
        let rows = WAYS.iter().zip(counts).zip(&self.uses).map(|((way, count), uses)| {
            let [an_hour, fewest, ratio] = self.held_against(count as f64, self.pace.fewest_tokens(way));
            let minutes = |span| self.pace.minutes(span);
            let most = self.pace.longest_use(way).as_secs() / 60;
            let used =
                format!("{:.1} / {:.1} of {most} min", minutes(uses.percentile(0)), minutes(uses.p50()));
            [format!("{}, {EACH}", way.name), an_hour, fewest, ratio, used]
        });
        rows.collect()
    }

    fn held_against(&self, count: f64, fewest: f64) -> [String; 3] {
        let (hours, an_hour) = (self.hours(), count / self.hours());
        // Counts of actions that are due less often than this say nothing.
        let ratio = if fewest * hours < 1.0 { String::new() } else { format!("{:.2} ×", an_hour / fewest) };
        [format!("{an_hour:.2}"), format!("{fewest:.2}"), ratio]
    }

    fn cluster(&self) -> Vec<[String; 2]> {
        let rounds = self.window.rounds.len() as f64;
        let each = self.writes.secrets as f64 / self.namespaces as f64;
        let [an_hour, fewest, ratio] = self.held_against(each, self.pace.fewest_rounds());
        let most = self.writes.most;
        let mut rows = vec![
            [
                "Secret writes a namespace, fewest 1".to_owned(),
                format!("{:.3}; {most} at most in any", each / rounds),
            ],
            ["CPU of the controller".to_owned(), seconds(self.cpu.div_f64(rounds))],
        ];
        for (what, count) in &self.writes.others {
            rows.push([what.clone(), format!("{:.1}", *count as f64 / rounds)]);
        }
        let what = format!("not a round but an hour: Secret writes a namespace, fewest {fewest}");
        rows.push([what, format!("{an_hour}, {ratio}")]);
        let (filled, all) = (mebibytes(self.peak_rss_kib.0), mebibytes(self.peak_rss_kib.1));
        rows.push([
            "not a round: fill; peak RSS until then, in all".to_owned(),
            format!("{}; {filled}, {all}", seconds(self.fill)),
        ]);
        rows
    }

    fn rounds(&self) -> Vec<[String; 5]> {
        let begin = self.window.begin();
        let row = |(number, (round, done)): (usize, (&Round, &Duration))| {
            let after = Duration::from_millis(u64::try_from(round.begin() - begin).unwrap_or_default());
            let actions = self.pace.actions();
            let counts = actions.iter().map(|action| (action.name, round.count(action.name)));
            let calls: Vec<String> =
                counts.filter(|(_, count)| *count > 0).map(|(name, n)| format!("{name} × {n}")).collect();
            [
                (number + 1).to_string(),
                format!("{:.0} min", self.pace.minutes(after)),
                calls.join(", "),
                seconds(round.took()),
                seconds(*done),
            ]
        };
        self.window.rounds.iter().zip(&self.writes.done).enumerate().map(row).collect()
    }

    fn caveats(&self) -> String {
        let minutes = |seconds| self.pace.minutes(Duration::from_secs(seconds));
        let refused = self.window.calls().filter(|call| call.code != "success" && call.status >= 400).count();
        format!(
            "Calls that the cloud refused: {refused}. Not compressed are the controller's own constants: it waits \
             1 s for the results of a round ({:.0} min of this cloud's time); it tries again after 2 s at first \
             ({:.0} min); it shares a ServiceAccount's token for 60 s, so that here not every round with an RRSA \
             role asks for one ({:.0} min); it asks the metadata service for the node's key again after 60 s at the \
             soonest, and when 30 min or a third of the key's life remain, whichever is less: here always the third, \
             which is 2 hours, so that the key is used for 4 hours at most and not for 5.5, and no token is cut \
             short by its end, as some are in the world.\n",
            minutes(1),
            minutes(2),
            minutes(60)
        )
    }
}
