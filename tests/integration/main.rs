//! The controller as a process on a real control plane, against the simulated cloud.

mod config_map;
mod conflict;
mod crash;
mod fence;
mod harness;
mod invalid;
mod refresh;
mod repair;
mod rest;
mod secrecy;
mod serve;
mod start;
mod withdraw;
