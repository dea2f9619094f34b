//! The controller as a process on a real control plane, against the simulated cloud.

#[cfg(test)]
mod admission_policy;
#[cfg(test)]
mod at_rest;
#[cfg(test)]
mod blindness;
#[cfg(test)]
mod bulkheads;
#[cfg(test)]
mod bystanders;
#[cfg(test)]
mod caller;
#[cfg(test)]
mod check;
#[cfg(test)]
mod config_map;
#[cfg(test)]
mod conflict;
#[cfg(test)]
mod coverage;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod cures;
#[cfg(test)]
mod documentation;
#[cfg(test)]
mod dry_run;
#[cfg(test)]
mod exceptions;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod gitops;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod identities;
#[cfg(test)]
mod image;
#[cfg(test)]
mod intruder;
#[cfg(test)]
mod invalid;
#[cfg(test)]
mod leader;
#[cfg(test)]
mod leave;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod managed;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod migration;
#[cfg(test)]
mod monitoring;
#[cfg(test)]
mod neighbours;
#[cfg(test)]
mod node;
#[cfg(test)]
mod panels;
#[cfg(test)]
mod personal;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod policy_probe;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod refusal;
#[cfg(test)]
mod registry_sources;
#[cfg(test)]
mod removal;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod secrecy;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod start;
#[cfg(test)]
mod status;
#[cfg(test)]
mod stuck_pods;
#[cfg(test)]
mod uninstall;
#[cfg(test)]
mod uninstall_command;
#[cfg(test)]
mod verify;
#[cfg(test)]
mod webhook;
#[cfg(test)]
mod withdraw;
#[cfg(test)]
mod withdrawal_guard;
