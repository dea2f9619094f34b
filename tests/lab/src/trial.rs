//! Trials: the product does a job while something breaks, and an oracle compares the end with that of a run in
//! which nothing broke.
//!
//! The oracle: the same end state, with what differs from run to run masked; no object written more often than
//! without the fault plus a stated allowance; and quiet afterwards.

mod hand_over;
mod job;
mod observe;
mod rig;
mod schedule;
mod soak;

pub use self::{
    hand_over::hand_over,
    job::{Job, Recovery, Run},
    observe::State,
    rig::{CONTROLLER, NAMESPACE, Rig, SECRET},
    schedule::{Schedule, daily_seed},
    soak::{Soak, SoakReport},
};
