//! Watches that hear nothing: what the status says may be out of date.

use std::time::Duration;

use crate::api::Reason;
use crate::model::duration;
use crate::plan::failure::Failure;

/// Returns why the statuses may be out of date, if one of these watches heard nothing for `limit`. `ages`: the name of
/// each watch, and the time since it was last heard. Equal watches give an equal message at any later time.
pub fn blindness(ages: &[(&'static str, Duration)], limit: Duration) -> Option<Failure> {
    let stale: Vec<&str> = ages.iter().filter(|(_, age)| *age >= limit).map(|(watch, _)| *watch).collect();
    let watches = match stale.as_slice() {
        [] => return None,
        [watch] => format!("the watch on {watch}"),
        [first @ .., last] => format!("the watches on {} and {last}", first.join(", ")),
    };
    let message = format!(
        "The API server has sent nothing on {watches} for {} or longer, so this status may be out of date. Check the \
         connection to the API server. If it works, restart the controller's Pods",
        duration::format(limit)
    );
    Some(Failure::new(Reason::WatchStale, message))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::blindness;
    use crate::api::Reason;

    const LIMIT: Duration = Duration::from_secs(300);

    fn of(ages: &[(&'static str, u64)]) -> Option<String> {
        let ages: Vec<_> = ages.iter().map(|(watch, age)| (*watch, Duration::from_secs(*age))).collect();
        let failure = blindness(&ages, LIMIT)?;
        assert_eq!(failure.reason, Reason::WatchStale);
        Some(failure.message.to_string())
    }

    #[test]
    fn a_watch_is_stale_from_the_limit_on() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("secrets", 299), ("bindings", 0)]), None);
        assert!(
            of(&[("secrets", 300), ("bindings", 299)]).unwrap().contains("the watch on secrets for 5m or")
        );
    }

    #[test]
    fn the_message_names_each_stale_watch_and_no_age_that_grows() {
        let all = of(&[("bindings", 300), ("namespaces", 900), ("secrets", 5000)]).unwrap();
        assert!(all.contains("the watches on bindings, namespaces and secrets for 5m or longer"), "{all}");
        assert_eq!(of(&[("bindings", 301), ("namespaces", 901), ("secrets", 5001)]), Some(all));
    }
}
