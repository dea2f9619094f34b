//! Everybody else.
