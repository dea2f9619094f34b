//! The results: printed as each phase ends, and collected in tables.

use std::time::Duration;

use super::{
    layout::RaceGoal,
    requests::Requests,
    spans::{Spans, grouped, ratio, seconds},
};

/// One figure beside its floor and its goal.
pub(super) struct Row {
    job: String,
    measured: String,
    floor: String,
    ratio: String,
    reach: String,
    met: Option<bool>,
    /// Whether it is a count, which does not depend on the machine.
    is_count: bool,
}

impl Row {
    /// Returns a row without a floor.
    pub(super) fn plain(job: &str, measured: String, reach: &str, met: bool) -> Row {
        Row {
            job: job.to_owned(),
            measured,
            floor: String::new(),
            ratio: String::new(),
            reach: reach.to_owned(),
            met: Some(met),
            is_count: false,
        }
    }

    /// Returns a row of a count.
    pub(super) fn count(job: &str, measured: String, reach: &str, met: bool) -> Row {
        Row { is_count: true, ..Row::plain(job, measured, reach, met) }
    }

    /// Returns a row without a goal.
    pub(super) fn free(job: &str, measured: String) -> Row {
        Row { met: None, ..Row::plain(job, measured, "", true) }
    }

    /// Returns a duration beside that of bare requests.
    pub(super) fn against(job: &str, took: Duration, floor: Duration, most: f64) -> Row {
        let ratio = ratio(took, floor);
        Row {
            job: job.to_owned(),
            measured: seconds(took),
            floor: seconds(floor),
            ratio: format!("{ratio:.2} ×"),
            reach: format!("≤ {most:.1} ×"),
            met: Some(ratio <= most),
            is_count: false,
        }
    }

    /// Returns a race window beside the create calls that open it, with its goal.
    pub(super) fn race(job: &str, windows: &Spans, creates: &Spans, goal: Option<RaceGoal>) -> Row {
        let reach = |(middle, end): RaceGoal| match middle {
            Some(middle) => format!("≤ {middle:.1} / {end:.1} ×"),
            None => format!("p99 ≤ {end:.1} ×"),
        };
        let (middle, end) = (ratio(windows.p50(), creates.p50()), ratio(windows.p99(), creates.p99()));
        Row {
            job: format!("{job}, p50 / p99 of {}", grouped(windows.len())),
            measured: windows.both(),
            floor: creates.both(),
            ratio: format!("{middle:.2} / {end:.2} ×"),
            reach: goal.map(reach).unwrap_or_default(),
            met: goal.map(|goal| goal.0.is_none_or(|most| middle <= most) && end <= goal.1),
            is_count: false,
        }
    }

    fn cells(&self) -> [String; 6] {
        let met = match self.met {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let texts = [&self.job, &self.measured, &self.floor, &self.ratio, &self.reach];
        let [job, measured, floor, ratio, reach] = texts.map(String::clone);
        [job, measured, floor, ratio, reach, met.to_owned()]
    }
}

/// The cost of a phase.
pub(super) struct Cost {
    /// The phase.
    pub(super) phase: String,
    /// From its beginning to the last write.
    pub(super) wall: Duration,
    /// The controller's requests of the API server.
    pub(super) requests: Requests,
    /// The controller's calls of the cloud.
    pub(super) cloud_calls: usize,
    /// The most memory that it held since its start.
    pub(super) peak_rss_kib: u64,
    /// The processor time that it used in the phase.
    pub(super) cpu: Duration,
}

/// Everything that was measured.
pub(super) struct Report {
    title: String,
    /// The conditions of the run, as a sentence.
    pub(super) conditions: String,
    rows: Vec<Row>,
    costs: Vec<Cost>,
}

const ROWS: [&str; 6] = ["job", "measured", "floor, same run", "ratio", "reach", "met"];
const COSTS: [&str; 7] = [
    "phase",
    "until the last write",
    "API requests of the controller",
    "writes at once",
    "cloud calls",
    "peak RSS",
    "CPU in the phase",
];

impl Report {
    pub(super) fn new(title: &str, conditions: String) -> Report {
        Report { title: title.to_owned(), conditions, rows: Vec::new(), costs: Vec::new() }
    }

    /// Returns the counts that miss their goal, which no slow machine explains.
    pub(super) fn missed_counts(&self) -> Vec<String> {
        let missed = self.rows.iter().filter(|row| row.is_count && row.met == Some(false));
        missed.map(|row| format!("{}: {}, not {}", row.job, row.measured, row.reach)).collect()
    }

    /// Returns the jobs whose counts were compared with a goal.
    #[cfg(test)]
    pub(super) fn counted_jobs(&self) -> Vec<&str> {
        self.rows.iter().filter(|row| row.is_count).map(|row| row.job.as_str()).collect()
    }

    /// Prints and keeps a figure.
    pub(super) fn row(&mut self, row: Row) {
        let [job, measured, floor, ratio, reach, met] = row.cells();
        let mut line = format!("   {job}: {measured}");
        for (word, cell) in [("floor", floor), ("ratio", ratio), ("reach", reach), ("met", met)] {
            if !cell.is_empty() {
                line.push_str(&format!("; {word} {cell}"));
            }
        }
        println!("{line}");
        self.rows.push(row);
    }

    /// Prints and keeps the cost of a phase.
    pub(super) fn cost(&mut self, cost: Cost) {
        println!("   requests: {}; at most {} writes at once", cost.requests, cost.requests.at_once);
        let waste = cost.requests.waste();
        if !waste.is_empty() {
            println!("   refused or repeated: {waste}");
        }
        let (memory, cpu) = (mebibytes(cost.peak_rss_kib), seconds(cost.cpu));
        let wall = seconds(cost.wall);
        println!("   cloud calls {}, peak RSS {memory}, CPU {cpu} in {wall}", cost.cloud_calls);
        self.costs.push(cost);
    }

    /// Returns the most memory that the controller held in any phase, in KiB.
    pub(super) fn peak_rss_kib(&self) -> u64 {
        self.costs.iter().map(|cost| cost.peak_rss_kib).max().unwrap_or_default()
    }

    /// Returns the processor time of all phases.
    pub(super) fn cpu(&self) -> Duration {
        self.costs.iter().map(|cost| cost.cpu).sum()
    }

    fn cost_rows(&self) -> Vec<[String; 7]> {
        let cells = |cost: &Cost| {
            let requests = match cost.requests.waste() {
                waste if waste.is_empty() => cost.requests.to_string(),
                waste => format!("{}; of these: {waste}", cost.requests),
            };
            let memory = mebibytes(cost.peak_rss_kib);
            [
                cost.phase.clone(),
                seconds(cost.wall),
                requests,
                cost.requests.at_once.to_string(),
                cost.cloud_calls.to_string(),
                memory,
                seconds(cost.cpu),
            ]
        };
        self.costs.iter().map(cells).collect()
    }

    /// Returns the figures as text with aligned columns; what each phase cost was said when it ended.
    pub(super) fn text(&self) -> String {
        let rows: Vec<_> =
            std::iter::once(ROWS.map(str::to_owned)).chain(self.rows.iter().map(Row::cells)).collect();
        let mut widths = [0; ROWS.len()];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = format!("{}\n\n", self.conditions);
        for row in &rows {
            let cells: Vec<String> =
                row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// Returns both tables in Markdown, as the documentation shows them.
    pub(super) fn markdown(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(Row::cells).collect();
        let (figures, costs) = (table(&ROWS, &rows), table(&COSTS, &self.cost_rows()));
        format!("{}\n\n{figures}\n{costs}", self.conditions)
    }
}

/// Returns the tables of several reports in Markdown: one of the figures, and one of the costs of each.
pub(super) fn combined(reports: &[Report]) -> String {
    let rows = reports.iter().flat_map(|report| {
        report.rows.iter().map(|row| {
            let [job, measured, floor, ratio, reach, met] = row.cells();
            [report.title.clone(), job, measured, floor, ratio, reach, met]
        })
    });
    let rows: Vec<_> = rows.collect();
    let [job, measured, floor, ratio, reach, met] = ROWS;
    let mut text = table(&["size", job, measured, floor, ratio, reach, met], &rows);
    for report in reports {
        let costs = table(&COSTS, &report.cost_rows());
        text.push_str(&format!("\n{}: {}\n\n{costs}", report.title, report.conditions));
    }
    text
}

/// Returns a table in Markdown.
pub(crate) fn table<const N: usize>(head: &[&str; N], rows: &[[String; N]]) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), " --- |".repeat(N));
    for row in rows {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    text
}

/// Formats an amount of memory.
pub(crate) fn mebibytes(kib: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "the memory of a process is far below 2^53 KiB")]
    let mebibytes = kib as f64 / 1024.0;
    format!("{mebibytes:.1} MiB")
}
