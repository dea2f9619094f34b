//! Durations: their percentiles and their format.

use std::time::Duration;

/// The durations of a repeated action.
#[derive(Debug, Default)]
pub(crate) struct Spans(Vec<Duration>);

impl Spans {
    pub(crate) fn push(&mut self, span: Duration) {
        self.0.push(span);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the smallest duration that this percentage of all do not exceed; zero if there are none.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    pub(crate) fn p50(&self) -> Duration {
        self.percentile(50)
    }

    pub(crate) fn p99(&self) -> Duration {
        self.percentile(99)
    }

    /// Formats p50 and p99 as the tables show them.
    pub(crate) fn both(&self) -> String {
        format!("{:.1} / {:.1} ms", millis(self.p50()), millis(self.p99()))
    }
}

impl FromIterator<Duration> for Spans {
    fn from_iter<T: IntoIterator<Item = Duration>>(spans: T) -> Spans {
        Spans(spans.into_iter().collect())
    }
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

/// Formats a duration in seconds.
pub(crate) fn seconds(span: Duration) -> String {
    format!("{:.2} s", span.as_secs_f64())
}

/// Returns the ratio of two durations.
pub(crate) fn ratio(span: Duration, of: Duration) -> f64 {
    span.as_secs_f64() / of.as_secs_f64().max(f64::EPSILON)
}

/// Formats a number with its digits in groups of three.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Spans, grouped};

    #[test]
    fn a_percentile_is_one_of_the_spans() {
        let spans: Spans = (1..=500).rev().map(Duration::from_millis).collect();
        assert_eq!((spans.p50(), spans.p99()), (Duration::from_millis(250), Duration::from_millis(495)));
        let one: Spans = [Duration::from_millis(7)].into_iter().collect();
        assert_eq!((one.p50(), one.p99()), (Duration::from_millis(7), Duration::from_millis(7)));
        assert_eq!(Spans::default().p99(), Duration::ZERO);
    }

    #[test]
    fn digits_are_grouped_in_threes() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
