//! The fewest calls that suffice, and the compression of the cloud's time.

use std::time::Duration;

use super::identities::{EACH, WAYS, Way};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Lifetime of a session and of a registry token.
pub(super) const TOKEN_LIFE: Duration = HOUR;

/// Lifetime of the key of the node's role.
pub(super) const NODE_KEY_LIFE: Duration = Duration::from_secs(6 * 3600);

/// Lifetime of the metadata service's own token. It is requested in seconds, so it is not compressed.
const METADATA_TOKEN_LIFE: Duration = Duration::from_secs(21_600);

/// Remaining validity at which a token is replaced: the binding's threshold.
pub(super) const THRESHOLD: Duration = Duration::from_secs(15 * 60);

/// Speed of the cloud's hours, and when the tokens of the node's role expire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Hours of the cloud in an hour.
    pub(super) speed: u32,
    /// Whether the tokens of the node's role expire with its key, as documented, or after an hour as all
    /// others.
    pub(super) long_node_tokens: bool,
}

/// One action of the cloud.
pub(super) struct Action {
    /// Its name in the cloud's record.
    pub(super) name: &'static str,
    /// The fewest calls an hour; zero if none is needed.
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

    /// Returns how long a token of an identity can be used.
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

    /// Lists the requests to the cloud, and the fewest of each an hour. A session's tokens expire with it, so
    /// each round needs a session of each assumed role. The two identities that begin with the RRSA role can
    /// share its session.
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
        // Ten of the fifty are requested every 345 minutes only.
        assert_eq!(of(true)[..2], [55.07, 55.07]);
    }
}
