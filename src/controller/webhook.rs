//! The webhook mode, which gives ServiceAccounts their entry at creation.
//!
//! Every replica answers, from its own memory, with a certificate that it reads or watches. The leader alone maintains
//! the configuration by which the API server calls the webhook, and makes the certificates.

mod configuration;
mod files;
mod own_certificate;
mod replica;
mod server;
mod settings;

pub use self::configuration::WebhookLoop;
pub use self::replica::WebhookReplica;
pub use self::server::ServerContext;
pub use self::settings::WebhookSettings;
