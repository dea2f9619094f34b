//! The admission policy or webhook that denies a write, as the API server's message names it.

/// What admission answered to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial<'a> {
    /// Its source.
    pub by: Denier<'a>,
    /// The words of the source, or of the API server about it.
    pub words: &'a str,
}

/// The source of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denier<'a> {
    /// The `ValidatingAdmissionPolicy` of this name.
    ValidatingPolicy(&'a str),
    /// The `MutatingAdmissionPolicy` of this name, which cannot be evaluated.
    MutatingPolicy(&'a str),
    /// The webhook of this name.
    Webhook(&'a str),
}

/// How the API server's messages name a source: what precedes the name, and what ends it.
const VALIDATING: (&str, char) = ("ValidatingAdmissionPolicy '", '\'');
const MUTATING: (&str, char) = ("policy '", '\'');
const WEBHOOK: (&str, char) = ("admission webhook \"", '"');
const FAILED_WEBHOOK: (&str, char) = ("failed calling webhook \"", '"');

impl<'a> Denial<'a> {
    /// Returns the denial that a message reports; `None` where admission has no part in it.
    pub fn of(message: &'a str) -> Option<Self> {
        let policy = |pattern, by: fn(&'a str) -> Denier<'a>| {
            let (at, name, rest) = named(message, pattern)?;
            let (_, words) = rest.split_once(" denied request: ")?;
            Some((at, Self { by: by(name), words }))
        };
        let webhook = || {
            let (at, name, rest) = named(message, WEBHOOK)?;
            let words = rest.strip_prefix(" denied the request")?;
            Some((at, Self { by: Denier::Webhook(name), words: words.trim_start_matches(':') }))
        };
        // The words of one source may quote another's name.
        [policy(VALIDATING, Denier::ValidatingPolicy), policy(MUTATING, Denier::MutatingPolicy), webhook()]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
            .map(|(_, Self { by, words })| Self { by, words: words.trim() })
    }
}

/// Returns the webhook that the API server cannot call, and why, if a message reports that.
pub fn unreachable_webhook(message: &str) -> Option<(&str, &str)> {
    let (_, name, why) = named(message, FAILED_WEBHOOK)?;
    Some((name, why.trim_start_matches(':').trim()))
}

/// Returns where a pattern begins, the name that follows it, and the rest.
fn named<'a>(message: &'a str, (before, end): (&str, char)) -> Option<(usize, &'a str, &'a str)> {
    let at = message.find(before)?;
    let (name, rest) = message.get(at + before.len()..)?.split_once(end)?;
    Some((at, name, rest))
}

#[cfg(test)]
mod tests {
    use super::{Denial, Denier, unreachable_webhook};

    fn of(message: &str) -> Option<(Denier<'_>, &str)> {
        Denial::of(message).map(|denial| (denial.by, denial.words))
    }

    #[test]
    fn the_source_and_its_words_are_found_in_each_form() {
        let ours = "secrets \"s\" is forbidden: ValidatingAdmissionPolicy 'acr-credential-secrets' with binding 'b' denied \
                    request: labels outside the policy's lists: a";
        let expected =
            (Denier::ValidatingPolicy("acr-credential-secrets"), "labels outside the policy's lists: a");
        assert_eq!(of(ours), Some(expected));
        let unbound = "x: ValidatingAdmissionPolicy 'p' denied request: no";
        assert_eq!(of(unbound), Some((Denier::ValidatingPolicy("p"), "no")));
        let mutating = "policy 'm' with binding 'b' denied request: expression 'x' resulted in error: no such key: labels";
        let words = "expression 'x' resulted in error: no such key: labels";
        assert_eq!(of(mutating), Some((Denier::MutatingPolicy("m"), words)));
        let webhook = "admission webhook \"validate.kyverno.svc-fail\" denied the request: \n\nresource Secret/a/b was blocked\n";
        assert_eq!(
            of(webhook),
            Some((Denier::Webhook("validate.kyverno.svc-fail"), "resource Secret/a/b was blocked"))
        );
        let silent = "admission webhook \"w\" denied the request without explanation";
        assert_eq!(of(silent), Some((Denier::Webhook("w"), "without explanation")));
    }

    #[test]
    fn the_first_source_counts_where_its_words_name_another() {
        let quoting = "admission webhook \"w\" denied the request: ValidatingAdmissionPolicy 'acr-credential-secrets' is odd";
        assert_eq!(of(quoting).map(|(by, _)| by), Some(Denier::Webhook("w")));
        let quoted =
            "ValidatingAdmissionPolicy 'p' denied request: admission webhook \"w\" denied the request: x";
        assert_eq!(of(quoted).map(|(by, _)| by), Some(Denier::ValidatingPolicy("p")));
    }

    #[test]
    fn other_messages_are_no_denial() {
        for message in [
            "",
            "secrets \"s\" is forbidden: User \"u\" cannot patch resource \"secrets\"",
            "secrets \"s\" is forbidden: exceeded quota: q",
            "admission webhook \"w",
            "ValidatingAdmissionPolicy '",
            "the policy 'p' is odd",
            "admission webhook \"w\" answered",
        ] {
            assert_eq!(of(message), None, "{message}");
        }
    }

    #[test]
    fn a_webhook_that_cannot_be_called_is_named_with_the_cause() {
        let message = "Internal error occurred: failed calling webhook \"w.example.com\": failed to call webhook: Post \
                       \"https://h.svc:443/v?timeout=10s\": context deadline exceeded";
        let (name, why) = unreachable_webhook(message).unwrap();
        assert_eq!(name, "w.example.com");
        assert!(why.starts_with("failed to call webhook: Post"), "{why}");
        assert_eq!(unreachable_webhook("Internal error occurred: x"), None);
    }
}
