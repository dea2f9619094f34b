//! The meaning of a code or of a reason, without a cluster.

use std::io;

use serde::Serialize;

use super::cause::PullCause;
use crate::api::Reason;
use crate::model::legacy::Code;

/// A code or a reason, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// The code or the reason.
    pub name: String,
    /// `cause`, `finding` or `reason`.
    pub kind: &'static str,
    /// Its meaning.
    pub meaning: String,
    /// What to do.
    pub cure: String,
}

impl Topic {
    /// Finds a code or a reason, in any case of letters. A cause is found by its word too.
    pub fn find(name: &str) -> Option<Self> {
        let is = |text: &str| text.eq_ignore_ascii_case(name.trim());
        let of = |name: &str, kind, meaning: &str, cure: &str| {
            Some(Self { name: name.to_owned(), kind, meaning: meaning.to_owned(), cure: cure.to_owned() })
        };
        if let Some(cause) = PullCause::ALL.iter().find(|cause| is(cause.as_str())) {
            return of(cause.as_str(), "cause", cause.title(), cause.cure());
        }
        if let Some(code) = Code::ALL.iter().find(|code| is(code.as_str())) {
            const CURE: &str =
                "kubectl acr lint --live prints each place with its correction, or lint FILE for a file.";
            return of(code.as_str(), "finding", code.title(), CURE);
        }
        if let Some(reason) = Reason::ALL.iter().find(|reason| is(reason.as_str())) {
            return of(reason.as_str(), "reason", reason.meaning(), reason.cure());
        }
        let cause = PullCause::ALL.iter().find(|cause| is(cause.name()))?;
        of(cause.as_str(), "cause", cause.title(), cause.cure())
    }

    /// Writes it for people.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write_text(&self, to: &mut dyn io::Write) -> io::Result<()> {
        writeln!(to, "{:<9} {}", self.kind, self.name)?;
        writeln!(to, "{:<9} {}", "meaning", self.meaning)?;
        writeln!(to, "{:<9} {}", "cure", self.cure)
    }

    /// Writes it as one JSON object.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write_json(&self, to: &mut dyn io::Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *to, self)?;
        writeln!(to)
    }

    /// Writes it as YAML.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write_yaml(&self, to: &mut dyn io::Write) -> io::Result<()> {
        to.write_all(serde_saphyr::to_string(self).map_err(io::Error::other)?.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::Topic;
    use crate::api::Reason;
    use crate::cli::explain::PullCause;
    use crate::model::legacy::Code;

    #[test]
    fn every_code_and_every_reason_is_found_in_any_case_with_a_cure() {
        let codes = Code::ALL.iter().map(|code| code.as_str());
        let causes = PullCause::ALL.iter().map(|cause| cause.as_str());
        for name in codes.chain(causes).chain(Reason::ALL.iter().map(|reason| reason.as_str())) {
            let found = Topic::find(&name.to_lowercase()).unwrap();
            assert_eq!(found.name, name);
            assert!(!found.meaning.is_empty() && !found.cure.is_empty(), "{name}");
        }
        assert_eq!(Topic::find("PodOlderThanEntry").unwrap().name, "ACR807");
        assert_eq!(Topic::find("QuotaExceeded").unwrap().kind, "reason", "a condition has this word");
        assert_eq!(Topic::find("ACR999"), None);
    }

    #[test]
    fn codes_exist_once_and_in_their_order_and_no_finding_has_one() {
        let codes: Vec<&str> = PullCause::ALL.iter().map(|cause| cause.as_str()).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
        assert!(Code::ALL.iter().all(|code| !codes.contains(&code.as_str())));
    }
}
