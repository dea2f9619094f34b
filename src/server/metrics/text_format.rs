//! The two text formats of metrics, and the choice between them.

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderValue};

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// Prometheus' own, version 0.0.4, which every scraper reads.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl TextFormat {
    /// Returns the format that a scraper prefers: Prometheus' own, unless OpenMetrics is asked for.
    pub fn requested(headers: &HeaderMap) -> Self {
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let ranges = values.flat_map(|value| value.split(',')).filter_map(Self::of_range);
        // Of equal ones, the first counts.
        let preferred = ranges.fold(None, |best: Option<(Self, f32)>, next| match best {
            Some(best) if best.1 >= next.1 => Some(best),
            _ => Some(next),
        });
        preferred.map_or(Self::Prometheus, |(format, _)| format)
    }

    /// Returns the format and the weight of one media range; `None` for one that is refused or not served.
    fn of_range(range: &str) -> Option<(Self, f32)> {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next()?.to_ascii_lowercase();
        let (mut version, mut weight) = (None, 1.0);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "version" => version = Some(value.trim().trim_matches('"')),
                "q" => weight = value.trim().parse().unwrap_or(0.0),
                _ => {}
            }
        }
        let format = match (media_type.as_str(), version) {
            ("application/openmetrics-text", None | Some("1.0.0")) => Self::OpenMetrics,
            ("text/plain", None | Some("0.0.4")) => Self::Prometheus,
            _ => return None,
        };
        (weight > 0.0).then_some((format, weight))
    }

    /// Returns the value of the header `Content-Type`.
    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }
}

/// Translates OpenMetrics to Prometheus' own format. A counter and an info metric are described by the names of their
/// samples there, and an info metric is a gauge.
pub fn to_prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ').map(|(_, help)| help);
            continue;
        }
        let described = line.strip_prefix("# TYPE ").and_then(|described| described.split_once(' '));
        let Some((name, kind)) = described else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let (suffix, kind) = match kind {
            "counter" => ("_total", kind),
            "info" => ("_info", "gauge"),
            _ => ("", kind),
        };
        let help = help.take().unwrap_or_default();
        text.push_str(&format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{TextFormat, to_prometheus};

    #[test]
    fn a_scraper_gets_what_it_asks_for_and_text_otherwise() {
        use TextFormat::{OpenMetrics, Prometheus};
        for (accept, expected) in [
            (None, Prometheus),
            (Some("*/*"), Prometheus),
            (Some("text/plain"), Prometheus),
            (Some("application/openmetrics-text"), OpenMetrics),
            (Some("application/openmetrics-text; version=\"1.0.0\"; charset=utf-8"), OpenMetrics),
            // A draft that differs from 1.0.0, and a format that is not served.
            (Some("application/openmetrics-text; version=0.0.1"), Prometheus),
            (Some("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily"), Prometheus),
            // As Prometheus 2.42 and 3.4 ask.
            (
                Some(
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                     text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ),
                OpenMetrics,
            ),
            (
                Some(
                    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.5,\
                     text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                ),
                OpenMetrics,
            ),
            (Some("text/plain;version=0.0.4, application/openmetrics-text;q=0.9"), Prometheus),
            (Some("text/plain, application/openmetrics-text"), Prometheus),
            (Some("application/openmetrics-text;q=0, text/plain;q=0.1"), Prometheus),
            (Some("application/openmetrics-text;q=x"), Prometheus),
            (Some(";;,=,;q=;"), Prometheus),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(TextFormat::requested(&headers), expected, "{accept:?}");
        }
    }

    #[test]
    fn counters_and_info_are_described_by_the_names_of_their_samples() {
        let open_metrics = "# HELP a_build Version.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
                            # HELP b_seconds How long.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\n\
                            b_seconds_sum 0.5\n# HELP c Writes.\n# TYPE c counter\nc_total 3\n# EOF\n";
        let expected = "# HELP a_build_info Version.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
                        # HELP b_seconds How long.\n# TYPE b_seconds histogram\nb_seconds_sum 0.5\n\
                        # HELP c_total Writes.\n# TYPE c_total counter\nc_total 3\n";
        assert_eq!(to_prometheus(open_metrics), expected);
    }
}
