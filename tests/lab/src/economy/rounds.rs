//! The cloud calls, grouped by the rounds in which they arrive.

use std::{collections::HashMap, time::Duration};

use acr_lab::cloud::{Call, Millis};

use super::identities::{WAYS, way_of};
use crate::bench::spans::Spans;

/// The action that renews a registry's token.
pub(super) const TOKEN: &str = "GetAuthorizationToken";

/// Calls that are further apart belong to two rounds: the controller waits this long for the results of one.
const APART: Millis = 1000;

/// Calls that arrived together.
pub(super) struct Round {
    calls: Vec<Call>,
}

/// Complete rounds, from the beginning of one to the beginning of another.
pub(super) struct Window {
    /// At least one.
    pub(super) rounds: Vec<Round>,
    end: Millis,
}

impl Round {
    /// Returns when its first call arrived.
    pub(super) fn begin(&self) -> Millis {
        self.calls.first().map_or(0, |call| call.at)
    }

    /// Returns the time from its first call to its last.
    pub(super) fn took(&self) -> Duration {
        between(self.begin(), self.calls.last().map_or(0, |call| call.at))
    }

    /// Counts its calls of an action.
    pub(super) fn count(&self, action: &str) -> usize {
        self.calls.iter().filter(|call| call.action == action).count()
    }
}

impl Window {
    /// Returns the rounds that began after one moment and before another, at which a round began too.
    pub(super) fn between(calls: &[Call], after: Millis, end: Millis) -> Option<Window> {
        let rounds: Vec<Round> =
            rounds(calls).filter(|round| round.begin() > after && round.begin() < end).collect();
        (!rounds.is_empty()).then_some(Window { rounds, end })
    }

    /// Returns when its first round began.
    pub(super) fn begin(&self) -> Millis {
        self.rounds.first().map_or(0, Round::begin)
    }

    /// Returns the time from its beginning to its end.
    pub(super) fn length(&self) -> Duration {
        between(self.begin(), self.end)
    }

    /// Returns the round that a moment falls in, if it is within the window.
    pub(super) fn round_at(&self, at: Millis) -> Option<usize> {
        let begun = self.rounds.iter().take_while(|round| round.begin() <= at).count();
        begun.checked_sub(1).filter(|_| at < self.end)
    }

    /// Returns all calls.
    pub(super) fn calls(&self) -> impl Iterator<Item = &Call> {
        self.rounds.iter().flat_map(|round| &round.calls)
    }
}

/// Returns when the first round after a moment began that renews tokens.
pub(super) fn begin_of_next(calls: &[Call], after: Millis) -> Option<Millis> {
    let renews = |round: &Round| round.begin() > after && round.count(TOKEN) > 0;
    rounds(calls).find(renews).map(|round| round.begin())
}

/// Returns, for each identity, how long its registries' tokens were used until they were renewed.
pub(super) fn uses(calls: &[Call]) -> [Spans; WAYS.len()] {
    let mut uses: [Spans; WAYS.len()] = Default::default();
    let mut minted: HashMap<&str, Millis> = HashMap::new();
    for call in calls.iter().filter(|call| call.action == TOKEN) {
        let Some(instance) = call.instance.as_deref() else { continue };
        let Some(way) = way_of(instance) else { continue };
        if let Some(before) = minted.insert(instance, call.at) {
            uses[way].push(between(before, call.at));
        }
    }
    uses
}

fn rounds(calls: &[Call]) -> impl Iterator<Item = Round> {
    calls.chunk_by(|one, next| next.at - one.at <= APART).map(|calls| Round { calls: calls.to_vec() })
}

fn between(from: Millis, to: Millis) -> Duration {
    Duration::from_millis(u64::try_from(to - from).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use acr_lab::cloud::{Call, Millis};

    use super::{TOKEN, Window, begin_of_next, uses};

    fn call(at: Millis, action: &str, instance: Option<&str>) -> Call {
        Call {
            at,
            host: String::new(),
            product: String::new(),
            action: action.to_owned(),
            identity: String::new(),
            account: String::new(),
            instance: instance.map(str::to_owned),
            request_id: String::new(),
            status: 200,
            code: "success".to_owned(),
            fault: None,
        }
    }

    #[test]
    fn a_window_holds_whole_rounds() {
        let token = |at| call(at, TOKEN, Some("cri-econ001"));
        let calls = [token(0), call(40_000, "AssumeRole", None), token(40_100), token(41_000), token(80_000)];
        assert_eq!(begin_of_next(&calls, 500), Some(40_000));
        let window = Window::between(&calls, 500, 80_000).unwrap();
        assert_eq!((window.rounds.len(), window.rounds[0].count(TOKEN)), (1, 2));
        assert_eq!((window.begin(), window.length()), (40_000, Duration::from_secs(40)));
        assert_eq!(
            [39_999, 40_000, 79_999, 80_000].map(|at| window.round_at(at)),
            [None, Some(0), Some(0), None]
        );
        assert!(Window::between(&calls, 500, 40_000).is_none());
    }

    #[test]
    fn a_token_is_used_until_the_same_instance_has_another() {
        let calls = [
            call(0, TOKEN, Some("cri-econ001")),
            call(10, TOKEN, Some("cri-econ011")),
            call(40_000, TOKEN, Some("cri-econ001")),
        ];
        let [node, assumed, ..] = uses(&calls);
        assert_eq!((node.p50(), assumed.len()), (Duration::from_secs(40), 0));
    }
}
