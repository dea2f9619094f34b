//! The loops in virtual time, as tests: see [`tests`].

mod tests;
