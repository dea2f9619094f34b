//! Go durations, the format of `expiring-threshold`.

use std::time::Duration;

/// Parses a Go duration such as `15m`, `1h30m` or `0.5h`.
///
/// # Errors
/// A message with examples of valid durations.
pub fn parse(text: &str) -> Result<Duration, String> {
    let mut rest = text;
    let mut seconds = 0.0_f64;
    if rest.is_empty() {
        return Err(complaint(text));
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| complaint(text))?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(complaint(text)),
        };
        rest = &rest[letters..];
        seconds += number * unit;
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| complaint(text))
}

/// Returns a duration of whole seconds as Go users write it, such as `5m` or `1m30s`.
pub fn format(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let text: String = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn complaint(text: &str) -> String {
    format!("{text:?} is not a duration: write a number and a unit, such as 15m, 900s or 1h30m")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, seconds) in
            [("15m", 900.0), ("900s", 900.0), ("1h30m", 5400.0), ("0.5h", 1800.0), ("250ms", 0.25)]
        {
            assert_eq!(super::parse(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
    }

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for text in ["0s", "45s", "5m", "1m30s", "1h", "2h5m", "1h1s"] {
            assert_eq!(super::format(super::parse(text).unwrap()), text);
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "15", "15min", "m", "-5m", "1h-5m", "15 m", "..5m", "1.2.3s", "999999999999999999999h"]
        {
            assert!(super::parse(text).is_err(), "{text}");
        }
    }
}
