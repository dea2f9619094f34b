//! What many ServiceAccounts have in common, and is kept once.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use crate::plan::view::ServiceAccountView;

/// Values of one kind that are kept for others to share. More are forgotten, and kept again as they are seen.
const MOST: usize = 1024;

/// The longest list that is shared. A longer one is rarely the same as another's, and would outlive its object here.
const LONGEST_LIST: usize = 4;

/// Names and lists of ServiceAccounts. Most accounts have the name of many others, and no entry but ours.
#[derive(Debug, Default)]
pub struct Interned {
    names: HashSet<Arc<str>>,
    lists: HashSet<Arc<[Box<str>]>>,
}

impl Interned {
    /// Has an account share what others have as well.
    pub fn share(&mut self, account: &mut ServiceAccountView) {
        share(&mut self.names, &mut account.name);
        if account.pull_secrets.len() <= LONGEST_LIST {
            share(&mut self.lists, &mut account.pull_secrets);
        }
    }
}

fn share<T: ?Sized + Eq + Hash>(known: &mut HashSet<Arc<T>>, value: &mut Arc<T>) {
    if let Some(same) = known.get(value) {
        *value = same.clone();
        return;
    }
    if known.len() >= MOST {
        known.clear();
    }
    known.insert(value.clone());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Interned, LONGEST_LIST, MOST};
    use crate::plan::fixture::account;

    #[test]
    fn accounts_share_names_and_short_lists() {
        let mut interned = Interned::default();
        let mut share = |name: &str, list: &str| {
            let mut account = account(name, list);
            interned.share(&mut account);
            account
        };
        let (a, b) = (share("default", "ours"), share("default", "ours"));
        assert!(Arc::ptr_eq(&a.name, &b.name) && Arc::ptr_eq(&a.pull_secrets, &b.pull_secrets));
        let long = "x ".repeat(LONGEST_LIST + 1);
        assert!(!Arc::ptr_eq(&share("a", &long).pull_secrets, &share("a", &long).pull_secrets));
    }

    #[test]
    fn names_that_no_other_account_has_do_not_fill_the_memory() {
        let mut interned = Interned::default();
        for number in 0..3 * MOST {
            interned.share(&mut account(&format!("a{number}"), &format!("l{number}")));
        }
        assert!(interned.names.len() <= MOST && interned.lists.len() <= MOST);
    }
}
