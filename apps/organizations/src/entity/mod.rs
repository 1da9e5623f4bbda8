//! The rows. Private: the rest of the crate sees the types of `domain`.

pub(crate) mod invitation;
pub(crate) mod organization;
pub(crate) mod organization_member;
pub(crate) mod website;
pub(crate) mod website_member;
