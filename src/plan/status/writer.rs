//! Conditions and times as the status stores them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use crate::api::ConditionType;
use crate::plan::failure::Failure;

/// Characters of a message at most. The API server refuses more than 32 KiB.
const MAX_MESSAGE: usize = 1024;

/// Writer of conditions for one generation.
pub struct ConditionWriter {
    /// Generation of the spec.
    pub generation: i64,
    /// The time now.
    pub now: Timestamp,
}

impl ConditionWriter {
    /// Returns a condition. Its transition time moves only when its status flips.
    pub fn condition(
        &self,
        kind: ConditionType,
        holds: impl Into<ConditionStatus>,
        why: &Failure,
        earlier: &[Condition],
    ) -> Condition {
        let status = holds.into().as_str();
        let before = earlier.iter().find(|c| c.type_ == kind.as_str() && c.status == status);
        Condition {
            type_: kind.as_str().to_owned(),
            status: status.to_owned(),
            reason: why.reason.as_str().to_owned(),
            message: shorten(&why.message),
            observed_generation: Some(self.generation),
            last_transition_time: before.map_or_else(|| time(self.now), |c| c.last_transition_time.clone()),
        }
    }
}

/// Whether a condition holds, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds, or it does not.
    Holds(bool),
    /// What is known may be out of date.
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        Self::Holds(holds)
    }
}

impl ConditionStatus {
    /// Returns the status of the condition as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Holds(true) => "True",
            Self::Holds(false) => "False",
            Self::Unknown => "Unknown",
        }
    }
}

fn shorten(message: &str) -> String {
    match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

/// Returns a time as the API server stores it, in whole seconds.
pub fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// Returns a number as the status stores it.
pub fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
