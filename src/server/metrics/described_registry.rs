//! A registry of metrics that can list what it holds, so that the reference of metrics is generated from it.

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

/// A metric as the reference lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricDescription {
    /// Name as scraped.
    pub name: &'static str,
    /// Type, such as `counter`.
    pub kind: &'static str,
    /// Names of the labels.
    pub labels: &'static [&'static str],
    /// Help text: the doc comment of the metric's field.
    pub help: String,
}

/// A label set that knows the names of its labels.
pub trait LabelNames {
    /// The names as scraped.
    const NAMES: &'static [&'static str];
}

/// A metric that knows its type, the suffix of its name and its labels.
pub trait DescribedMetric {
    /// Type as scraped.
    const KIND: &'static str;
    /// Part of the name that the text format adds by itself.
    const SUFFIX: &'static str = "";
    /// Names of the labels.
    const LABELS: &'static [&'static str] = &[];
}

impl DescribedMetric for Counter {
    const KIND: &'static str = "counter";
    const SUFFIX: &'static str = "_total";
}

impl DescribedMetric for Gauge {
    const KIND: &'static str = "gauge";
}

impl DescribedMetric for Histogram {
    const KIND: &'static str = "histogram";
}

impl<L: LabelNames> DescribedMetric for Info<L> {
    const KIND: &'static str = "info";
    const SUFFIX: &'static str = "_info";
    const LABELS: &'static [&'static str] = L::NAMES;
}

impl<L: LabelNames, M: DescribedMetric, C: MetricConstructor<M>> DescribedMetric for Family<L, M, C> {
    const KIND: &'static str = M::KIND;
    const SUFFIX: &'static str = M::SUFFIX;
    const LABELS: &'static [&'static str] = L::NAMES;
}

/// The registry that is scraped, and the descriptions of all that it holds.
#[derive(Default)]
pub struct DescribedRegistry {
    registry: Registry,
    descriptions: Vec<MetricDescription>,
}

impl fmt::Debug for DescribedRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.descriptions.iter().map(|description| description.name)).finish()
    }
}

impl DescribedRegistry {
    /// Registers a metric under its name as scraped. `doc` is the doc comment that becomes the help text.
    pub fn register<M: Metric + DescribedMetric>(&mut self, name: &'static str, doc: &str, metric: M) {
        // The text format appends the suffix, the unit and a full stop again.
        let help = doc.trim().trim_end_matches('.').to_owned();
        let stem = name.strip_suffix(M::SUFFIX).unwrap_or(name);
        match stem.strip_suffix("_seconds") {
            Some(stem) => self.registry.register_with_unit(stem, help.clone(), Unit::Seconds, metric),
            None => self.registry.register(stem, help.clone(), metric),
        }
        self.descriptions.push(MetricDescription { name, kind: M::KIND, labels: M::LABELS, help });
    }

    /// Returns the description of each metric, in the order of registration.
    pub fn descriptions(&self) -> &[MetricDescription] {
        &self.descriptions
    }

    /// Returns the text that a scraper reads.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
