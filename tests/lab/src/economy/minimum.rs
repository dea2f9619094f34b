//! The fewest calls that would do, and how the cloud's time is compressed.

use std::time::Duration;

use super::identities::{EACH, WAYS, Way};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// How long a session and a registry token live.
pub(super) const TOKEN_LIFE: Duration = HOUR;

/// How long the key of the node's role lives.
pub(super) const NODE_KEY_LIFE: Duration = Duration::from_secs(6 * 3600);

/// How long the metadata service's own token lives. It is asked for by the second, so it is not compressed.
const METADATA_TOKEN_LIFE: Duration = Duration::from_secs(21_600);

/// What must be left of a token before it is replaced: the binding's threshold.
pub(super) const THRESHOLD: Duration = Duration::from_secs(15 * 60);

/// How fast the cloud's hours go by, and by which rule the tokens of the node's role end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Hours of the cloud in an hour.
    pub(super) speed: u32,
    /// Whether the tokens of the node's role end with its key, as documented, or after an hour as all others.
    pub(super) long_node_tokens: bool,
}

/// One action of the cloud.
pub(super) struct Action {
    /// As the cloud's record has it.
    pub(super) name: &'static str,
    /// Calls an hour; zero where none is needed.
    pub(super) fewest: f64,
}

impl Pace {
    /// Returns a length of the cloud's time as it passes here.
    pub(super) fn compressed(&self, length: Duration) -> Duration {
        length / self.speed
    }

    /// Returns a length that passed here, in minutes of the cloud.
    pub(super) fn minutes(&self, passed: Duration) -> f64 {
        passed.as_secs_f64() * f64::from(self.speed) / MINUTE.as_secs_f64()
    }

    /// How long a token of an identity can be used.
    pub(super) fn longest_use(&self, way: &Way) -> Duration {
        let life = if way.is_node && self.long_node_tokens { NODE_KEY_LIFE } else { TOKEN_LIFE };
        life - THRESHOLD
    }

    /// Returns the fewest token calls an hour that an identity's registries need.
    pub(super) fn fewest_tokens(&self, way: &Way) -> f64 {
        EACH as f64 * an_hour(self.longest_use(way))
    }

    /// Returns the fewest rounds an hour: all tokens can be renewed in one go.
    pub(super) fn fewest_rounds(&self) -> f64 {
        an_hour(TOKEN_LIFE - THRESHOLD)
    }

    /// What is asked of the cloud, and how often an hour it has to be. A session's tokens end with it, so each round
    /// needs a session of each assumed role; the two identities that begin with the RRSA role can share its session.
    pub(super) fn actions(&self) -> [Action; 7] {
        let tokens: f64 = WAYS.iter().map(|way| self.fewest_tokens(way)).sum();
        let session = self.fewest_rounds();
        let assumed = WAYS.iter().filter(|way| way.assumes()).count() as f64;
        let node_key = an_hour(NODE_KEY_LIFE - THRESHOLD);
        [
            Action { name: "GetAuthorizationToken", fewest: tokens },
            Action { name: "ListInstanceEndpoint", fewest: tokens },
            Action { name: "AssumeRole", fewest: assumed * session },
            Action { name: "AssumeRoleWithOIDC", fewest: session },
            Action { name: "IMDS:role", fewest: node_key },
            Action { name: "IMDS:credentials", fewest: node_key },
            Action { name: "IMDS:token", fewest: an_hour(METADATA_TOKEN_LIFE) / f64::from(self.speed) },
        ]
    }
}

fn an_hour(each: Duration) -> f64 {
    HOUR.as_secs_f64() / each.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn fifty_tokens_of_three_quarters_of_an_hour_are_sixty_seven_an_hour() {
        let of = |long_node_tokens| {
            let actions = Pace { speed: 60, long_node_tokens }.actions();
            actions.map(|action| (action.fewest * 100.0).round() / 100.0)
        };
        assert_eq!(of(false)[..5], [66.67, 66.67, 2.67, 1.33, 0.17]);
        // Ten of the fifty are asked for each 345 minutes only.
        assert_eq!(of(true)[..2], [55.07, 55.07]);
    }
}
