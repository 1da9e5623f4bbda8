//! Organizations, websites and who belongs to them. Knows neither HTTP nor the database.

pub mod invitation;
pub mod matrix;
pub mod organization;
pub mod role;
pub mod token;
pub mod website;

mainstay_core::uuid_ids! {
    /// Names an organization.
    pub struct OrganizationId;
    /// Names a website.
    pub struct WebsiteId;
    /// Names an invitation.
    pub struct InvitationId;
}
