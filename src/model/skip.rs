//! The opt-out of a Namespace or a ServiceAccount: a label or an annotation whose value is a boolean of YAML 1.1.

/// The spellings of true. `deploy/admission.yaml` has the same list.
pub const TRUE: [&str; 11] = ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"];

/// The spellings of false.
const FALSE: [&str; 11] = ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"];

/// Characters of a value that are kept for a report.
const SHOWN: usize = 40;

/// The opt-out of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptOut {
    /// Whether it opts out.
    pub skip: bool,
    /// The start of a value that is not a boolean: it opts nothing out.
    pub unclear: Option<Box<str>>,
}

impl OptOut {
    /// Returns the opt-out by the values of the label and of the annotation. Either is enough.
    pub fn of<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut found = Self::default();
        for value in values.into_iter().flatten() {
            if TRUE.contains(&value) {
                found.skip = true;
            } else if !FALSE.contains(&value) {
                found.unclear = Some(value.chars().take(SHOWN).collect::<String>().into());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::OptOut;

    fn of(label: Option<&str>, annotation: Option<&str>) -> (bool, Option<String>) {
        let OptOut { skip, unclear } = OptOut::of([label, annotation]);
        (skip, unclear.map(Into::into))
    }

    #[test]
    fn label_and_annotation_opt_out_in_any_spelling_of_true() {
        for value in ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"] {
            assert_eq!(of(Some(value), None), (true, None), "{value}");
            assert_eq!(of(None, Some(value)), (true, None), "{value}");
            assert_eq!(of(Some("false"), Some(value)), (true, None), "{value}");
        }
        for value in ["false", "False", "no", "off", "n"] {
            assert_eq!(of(Some(value), Some(value)), (false, None), "{value}");
        }
        assert_eq!(of(None, None), (false, None));
    }

    #[test]
    fn another_value_opts_nothing_out_and_is_kept_in_part() {
        for value in ["1", "", "tRuE", " true", "ture", "\"true\""] {
            assert_eq!(of(None, Some(value)), (false, Some(value.to_owned())), "{value}");
            assert_eq!(of(Some("yes"), Some(value)), (true, Some(value.to_owned())), "{value}");
        }
        assert_eq!(of(None, Some(&"é".repeat(1000))).1.unwrap().chars().count(), 40);
    }
}
