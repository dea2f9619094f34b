//! The offending keys in the messages of this controller's own policies.

use std::collections::BTreeSet;

/// What an object has that a policy of this controller denies. Validation sees the object after mutation, so a policy
/// cannot know who set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offence<'a> {
    /// The part of the object.
    pub part: Part,
    /// Why it is denied.
    pub rule: Breach,
    /// The keys, in their order.
    pub keys: Vec<&'a str>,
    /// The number of further keys, which the policy does not name.
    pub more: usize,
}

/// A part of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its labels.
    Label,
    /// Its annotations.
    Annotation,
    /// Fields of its own.
    Field,
    /// Entries of its `imagePullSecrets`.
    PullSecret,
}

/// Why keys are denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// No exception lists them.
    Unlisted,
    /// No exception can allow them.
    Never,
    /// They were removed, which no exception allows either.
    Removed,
}

/// The length at which the policies cut a key.
const CUT: usize = 100;

/// The policies' words before the keys.
const MESSAGES: [(&str, Part, Breach); 9] = [
    ("labels outside the policy's lists: ", Part::Label, Breach::Unlisted),
    ("annotations outside the policy's lists: ", Part::Annotation, Breach::Unlisted),
    ("fields outside the policy's lists: ", Part::Field, Breach::Unlisted),
    ("pull secrets outside the policy's lists: ", Part::PullSecret, Breach::Unlisted),
    ("labels that no exception allows: ", Part::Label, Breach::Never),
    ("annotations that no exception allows: ", Part::Annotation, Breach::Never),
    ("fields that no exception allows: ", Part::Field, Breach::Never),
    ("labels removed: ", Part::Label, Breach::Removed),
    ("annotations removed: ", Part::Annotation, Breach::Removed),
];

impl<'a> Offence<'a> {
    /// Returns the offence that a policy's words name; `None` where they name no keys.
    pub fn of(words: &'a str) -> Option<Self> {
        let (part, rule, list) = MESSAGES.into_iter().find_map(|(before, part, rule)| {
            let (_, list) = words.split_once(before)?;
            Some((part, rule, list))
        })?;
        let (list, more) = match list.rsplit_once(" and ") {
            Some((list, tail)) => (list, tail.strip_suffix(" more")?.parse().ok()?),
            None => (list, 0),
        };
        let keys: Vec<&str> = list.split(", ").map(str::trim).filter(|key| !key.is_empty()).collect();
        let is_key = |key: &&str| !key.contains(char::is_whitespace);
        (!keys.is_empty() && keys.iter().all(is_key)).then_some(Self { part, rule, keys, more })
    }

    /// Returns the keys that this controller did not send, and those that it did.
    pub fn divide(&self, sent: &BTreeSet<&str>) -> (Vec<&'a str>, Vec<&'a str>) {
        // Nothing that was sent can have been removed by this controller.
        let sent =
            |key: &str| sent.contains(key) || (key.len() == CUT && sent.iter().any(|s| s.starts_with(key)));
        let is_ours = |key: &&str| self.rule != Breach::Removed && sent(key);
        let (ours, theirs) = self.keys.iter().copied().partition(is_ours);
        (theirs, ours)
    }
}

#[cfg(test)]
mod tests {
    use super::{Breach, Offence, Part};

    #[test]
    fn each_message_of_the_policies_gives_its_keys() {
        for (words, part, rule, keys, more) in [
            ("labels outside the policy's lists: a, b/c", Part::Label, Breach::Unlisted, vec!["a", "b/c"], 0),
            ("annotations outside the policy's lists: a", Part::Annotation, Breach::Unlisted, vec!["a"], 0),
            (
                "fields outside the policy's lists: automountServiceAccountToken",
                Part::Field,
                Breach::Unlisted,
                vec!["automountServiceAccountToken"],
                0,
            ),
            ("pull secrets outside the policy's lists: x", Part::PullSecret, Breach::Unlisted, vec!["x"], 0),
            (
                "labels that no exception allows: helm.sh/chart",
                Part::Label,
                Breach::Never,
                vec!["helm.sh/chart"],
                0,
            ),
            ("annotations that no exception allows: a", Part::Annotation, Breach::Never, vec!["a"], 0),
            ("labels removed: a, b and 12 more", Part::Label, Breach::Removed, vec!["a", "b"], 12),
            ("annotations removed: a", Part::Annotation, Breach::Removed, vec!["a"], 0),
            ("fields that no exception allows: secrets", Part::Field, Breach::Never, vec!["secrets"], 0),
        ] {
            assert_eq!(Offence::of(words), Some(Offence { part, rule, keys, more }), "{words}");
        }
    }

    #[test]
    fn other_words_name_no_keys() {
        for words in [
            "",
            "labels outside the policy's lists: ",
            "labels outside the policy's lists",
            "labels removed: a and b",
            "labels removed: a b",
            "the controller does not change other labels; add each key of --secret-label to labelKeys",
        ] {
            assert_eq!(Offence::of(words), None, "{words}");
        }
    }

    #[test]
    fn what_this_controller_sent_is_not_an_addition() {
        let sent = ["team", "app"].into();
        let offence = Offence::of("labels outside the policy's lists: app, cost-center, team").unwrap();
        assert_eq!(offence.divide(&sent), (vec!["cost-center"], vec!["app", "team"]));
        let (long, cut) = ("k".repeat(120), "k".repeat(100));
        let words = format!("labels outside the policy's lists: {cut}");
        assert_eq!(Offence::of(&words).unwrap().divide(&[&*long].into()), (vec![], vec![&*cut]));
        let removed = Offence::of("labels removed: team").unwrap();
        assert_eq!(removed.divide(&sent), (vec!["team"], vec![]));
    }
}
