//! The panels of the dashboard as one drawing, from what Prometheus has of a run.

use std::fmt::Write as _;
use std::time::Duration;

use acr_lab::prometheus::{Prometheus, Series};

/// Names the file that gets the drawing. Without it, nothing is drawn.
pub const FILE: &str = "ACR_PANELS";

/// Time that is drawn.
const SPAN: Duration = Duration::from_secs(90);

/// Series of a panel that are drawn.
const LINES: usize = 8;

const COLUMNS: usize = 3;
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 170.0;
const COLOURS: [&str; LINES] =
    ["#3274d9", "#56a64b", "#e02f44", "#ff780a", "#8f3bb8", "#f2cc0c", "#37872d", "#6c757d"];

/// Draws a panel for each title, with all of its expressions, and returns the sheet as SVG.
pub async fn draw(prometheus: &Prometheus, expressions: &[(String, String)]) -> String {
    let mut panels: Vec<(&str, Vec<Series>)> = Vec::new();
    for (title, expression) in expressions {
        let series = prometheus.range(expression, SPAN).await.unwrap();
        match panels.last_mut().filter(|(last, _)| last == title) {
            Some((_, all)) => all.extend(series),
            None => panels.push((title, series)),
        }
    }
    let rows = panels.len().div_ceil(COLUMNS);
    let (width, height) = (COLUMNS as f64 * WIDTH, rows as f64 * HEIGHT);
    let mut sheet = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (number, (title, series)) in panels.iter().enumerate() {
        let (x, y) = ((number % COLUMNS) as f64 * WIDTH, (number / COLUMNS) as f64 * HEIGHT);
        writeln!(sheet, "<g transform=\"translate({x} {y})\">\n{}</g>", panel(title, series)).unwrap();
    }
    sheet + "</svg>\n"
}

/// Draws one panel: its title, its lines, and the least and the greatest value.
fn panel(title: &str, series: &[Series]) -> String {
    let points = || series.iter().take(LINES).flat_map(|(_, points)| points);
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        let of = |fold: fn(f64, f64) -> f64, start| points().map(of).fold(start, fold);
        (of(f64::min, f64::INFINITY), of(f64::max, f64::NEG_INFINITY))
    };
    let ((begin, end), (low, high)) = (bounds(|point| point.0), bounds(|point| point.1));
    let low = low.min(0.0);
    let (left, top, wide, tall) = (46.0, 28.0, WIDTH - 60.0, HEIGHT - 50.0);
    let place = |(time, value): &(f64, f64)| {
        let x = left + wide * (time - begin) / (end - begin).max(1.0);
        let y = top + tall * (1.0 - (value - low) / (high - low).max(f64::MIN_POSITIVE));
        format!("{x:.0},{y:.0}")
    };
    let mut drawn = format!(
        "<rect x=\"4\" y=\"4\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#ccc\"/>\n\
         <text x=\"12\" y=\"20\" font-size=\"12\">{}</text>\n",
        WIDTH - 8.0,
        HEIGHT - 8.0,
        title.replace('&', "&amp;").replace('<', "&lt;"),
    );
    for (value, y) in
        [(high, top + 8.0), (low, top + tall)].into_iter().filter(|(value, _)| value.is_finite())
    {
        writeln!(
            drawn,
            "<text x=\"42\" y=\"{y}\" font-size=\"9\" text-anchor=\"end\">{}</text>",
            short(value)
        )
        .unwrap();
    }
    for ((_, points), colour) in series.iter().zip(COLOURS) {
        let mut places: Vec<String> = points.iter().map(place).collect();
        places.dedup();
        writeln!(drawn, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\"/>", places.join(" "))
            .unwrap();
    }
    drawn
}

/// Returns a number with three digits.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e9 => format!("{:.1}G", value / 1e9),
        size if size >= 1e6 => format!("{:.1}M", value / 1e6),
        size if size >= 1e3 => format!("{:.1}k", value / 1e3),
        size if size >= 10.0 => format!("{value:.0}"),
        0.0 => "0".to_owned(),
        size if size < 0.01 => format!("{value:.0e}"),
        _ => format!("{value:.2}"),
    }
}
