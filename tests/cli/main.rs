//! `kubectl acr` as a process of its own, on the documented samples and against a real API server.

#[cfg(test)]
mod acr;
#[cfg(test)]
mod called;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod check;
#[cfg(test)]
mod connection;
#[cfg(test)]
mod cures;
#[cfg(test)]
mod exceptions;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod live;
#[cfg(test)]
mod managed;
#[cfg(test)]
mod process;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod status;
#[cfg(test)]
mod structured;
#[cfg(test)]
mod table;
#[cfg(test)]
mod values;
