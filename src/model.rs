//! The meaning of the input, parsed once into types that are valid by construction. No IO.

pub mod binding;
pub mod count;
pub mod coverage;
pub mod credential;
pub mod distance;
pub mod domain;
pub mod duration;
pub mod edition;
pub mod exceptions;
pub mod identity;
pub mod instance_id;
pub mod labels;
pub mod legacy;
pub mod pattern;
pub mod region;
pub mod registry;
pub mod skip;

pub use binding::{Binding, InvalidField};
pub use count::count;
pub use credential::Credential;
pub use labels::Labels;
pub use registry::{Edition, Registry, RegistryKey};
