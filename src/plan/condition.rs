//! Conditions of a binding that are decided outside its status: by the ConfigMap, the policies, admission, conflicts.

use super::failure::Failure;
use crate::api::ConditionType;

/// A condition, without the times that the status adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingCondition {
    /// Its type.
    pub kind: ConditionType,
    /// Whether it is `True`.
    pub holds: bool,
    /// Its reason and message.
    pub why: Failure,
}
