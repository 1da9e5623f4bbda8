#![doc = include_str!("../README.md")]

mod address;
mod entity;
mod events;
mod folder;
mod letter;
mod mail;
mod mails;
mod message;
mod migrations;
mod render;
mod repo;
mod sender;
mod settings;
mod smtp;
#[cfg(feature = "testing")]
pub mod testing;

pub use address::Recipient;
pub use events::MailSent;
pub use letter::{Body, Letter};
pub use mail::{Mail, MailFilter, MailId, MailOrder, MailStatus, NewMail, StoredMail};
pub use mails::{MAILS, MailSettingsError, Mails, MailsOptions};
pub use migrations::migrations;
pub use render::{Content, Letterhead, Rendered, render};
pub use sender::SendReport;
pub use settings::MailSettings;
pub use smtp::DeliveryError;
