//! The custom resource's schema on a real API server. Each rule is passed once and broken once, and compared
//! with the product's validator. The policies' expressions are checked on the same server. No controller
//! runs.

#[cfg(test)]
mod chart;
#[cfg(test)]
mod constraints;
#[cfg(test)]
mod cures;
#[cfg(test)]
mod defaults;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod server;
#[cfg(test)]
mod table;
#[cfg(test)]
mod verdicts;
