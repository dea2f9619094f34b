//! The list `imagePullSecrets` of a ServiceAccount. It is atomic, and most of it is not ours.

/// The wanted state of our entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// It is in the list once.
    Attached,
    /// It is not in the list.
    Detached,
    /// It stays as it is.
    AsIs,
}

/// Returns the list that replaces `current`; `None` where it may stay.
///
/// Others' entries keep their order and their number. Ours is added at the end, and only its first copy stays.
pub fn pull_secrets(current: &[Box<str>], ours: &str, want: Want) -> Option<Vec<Box<str>>> {
    let count = current.iter().filter(|name| name.as_ref() == ours).count();
    match (want, count) {
        (Want::AsIs, _) | (Want::Attached, 1) | (Want::Detached, 0) => None,
        (Want::Attached, 0) => Some(current.iter().cloned().chain([ours.into()]).collect()),
        (Want::Attached, _) => {
            let mut seen = false;
            let mut first_or_others = |name: &str| name != ours || !std::mem::replace(&mut seen, true);
            Some(current.iter().filter(|name| first_or_others(name)).cloned().collect())
        }
        (Want::Detached, _) => Some(current.iter().filter(|name| name.as_ref() != ours).cloned().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Want, pull_secrets};
    use proptest::prelude::*;

    fn list(names: &[&str]) -> Vec<Box<str>> {
        names.iter().map(|n| (*n).into()).collect()
    }

    #[test]
    fn ours_is_added_once_and_at_the_end() {
        assert_eq!(pull_secrets(&list(&["b", "a"]), "o", Want::Attached), Some(list(&["b", "a", "o"])));
        assert_eq!(pull_secrets(&list(&["b", "o", "a"]), "o", Want::Attached), None);
        assert_eq!(pull_secrets(&list(&["o", "b", "o"]), "o", Want::Attached), Some(list(&["o", "b"])));
    }

    #[test]
    fn only_ours_is_removed() {
        assert_eq!(pull_secrets(&list(&["b", "o", "b"]), "o", Want::Detached), Some(list(&["b", "b"])));
        assert_eq!(pull_secrets(&list(&["b"]), "o", Want::Detached), None);
    }

    #[test]
    fn a_held_list_stays() {
        for current in [list(&["b"]), list(&["o"]), list(&["o", "o"])] {
            assert_eq!(pull_secrets(&current, "o", Want::AsIs), None);
        }
    }

    proptest! {
        #[test]
        fn others_entries_keep_their_order_and_a_second_plan_changes_nothing(
            current in prop::collection::vec("[abo]", 0..8), attach: bool
        ) {
            let current: Vec<Box<str>> = current.into_iter().map(Into::into).collect();
            let want = if attach { Want::Attached } else { Want::Detached };
            let after = pull_secrets(&current, "o", want).unwrap_or_else(|| current.clone());
            let others = |l: &[Box<str>]| l.iter().filter(|n| n.as_ref() != "o").cloned().collect::<Vec<_>>();
            prop_assert_eq!(others(&after), others(&current));
            prop_assert_eq!(after.iter().filter(|n| n.as_ref() == "o").count(), usize::from(attach));
            prop_assert_eq!(pull_secrets(&after, "o", want), None);
        }
    }
}
