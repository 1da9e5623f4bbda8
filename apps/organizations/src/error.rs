//! What can go wrong, and what a client hears of it.

use mainstay_app::{HookError, LAST_ADMIN, TOKEN_INVALID};
use mainstay_core::problem::FORBIDDEN;
use mainstay_core::{Faults, Problem};
use mainstay_db::DbProblem as _;
use sea_orm::DbErr;

mainstay_core::problems! {
    /// No such organization, or none that the caller belongs to.
    pub ORGANIZATION_NOT_FOUND = 404 "organization_not_found", "Organization not found",
        "You belong to no organization with this id. Whether there is one is not told.";
    /// No such website, or none that the caller belongs to.
    pub WEBSITE_NOT_FOUND = 404 "website_not_found", "Website not found",
        "You have no website with this id, neither by your organization nor by yourself. Whether there is one is not told.";
    /// Nobody with this id belongs to it.
    pub MEMBER_NOT_FOUND = 404 "member_not_found", "Member not found",
        "Nobody with this user id belongs to it. They may have left.";
    /// No such invitation here.
    pub INVITATION_NOT_FOUND = 404 "invitation_not_found", "Invitation not found",
        "There is no invitation with this id here.";
    /// The address belongs to a member.
    pub ALREADY_MEMBER = 409 "already_member", "Already a member",
        "The account with this e-mail address is a member already. Change its role instead.";
    /// The address is invited already.
    pub INVITATION_PENDING = 409 "invitation_pending", "Invited already",
        "An invitation for this e-mail address is pending. Send it again (`…/resend`), or revoke it to invite with another role.";
    /// The invitation was decided or has been revoked.
    pub INVITATION_DECIDED = 409 "invitation_decided", "The invitation is not pending",
        "The invitation was accepted, declined or revoked already. Make a new one.";
    /// Another website of the organization has this address.
    pub URL_TAKEN = 409 "url_taken", "Address taken",
        "Another website of the organization has this address already. Addresses are compared without fragment, with the host in lower case.";
    /// The invitation is for another address than the caller's.
    pub INVITATION_FOR_ANOTHER_ADDRESS = 403 "invitation_for_another_address", "The invitation is for somebody else",
        "The invitation is for another e-mail address than your account's. Sign in with the account that has the address, or ask for an invitation to yours.";
    /// The caller's address was never proven.
    pub INVITATION_NEEDS_VERIFIED_EMAIL = 403 "invitation_needs_verified_email", "Verify your e-mail address first",
        "An invitation is accepted by who has proven its e-mail address. Open the link in the verification mail, or ask for another, then accept again.";
}

/// Why something could not be done with organizations.
#[derive(Debug, thiserror::Error)]
pub enum OrganizationError {
    /// There is no such organization for the caller.
    #[error("the caller has no such organization")]
    OrganizationNotFound,
    /// There is no such website for the caller.
    #[error("the caller has no such website")]
    WebsiteNotFound,
    /// Nobody with this id belongs to it.
    #[error("nobody with this id is a member")]
    MemberNotFound,
    /// There is no such invitation here.
    #[error("the invitation does not exist here")]
    InvitationNotFound,
    /// The caller sees it, but may not do this. Names what they would have to be.
    #[error("this takes {0}")]
    Forbidden(&'static str),
    /// Nobody would be left to administer the organization.
    #[error("this is the organization's last admin")]
    LastAdmin,
    /// The address belongs to a member.
    #[error("the account with this address is a member already")]
    AlreadyMember,
    /// The address is invited already.
    #[error("an invitation for this address is pending")]
    InvitationPending,
    /// The invitation is not pending any more.
    #[error("the invitation was decided already")]
    InvitationDecided,
    /// Another website of the organization has this address.
    #[error("another website of the organization has this address")]
    UrlTaken,
    /// The name that was to confirm a deletion is another.
    #[error("the confirmation does not name the organization")]
    NotConfirmed,
    /// The token opens nothing, or no longer.
    #[error("the token is not valid any more")]
    TokenInvalid,
    /// The invitation is for another address.
    #[error("the invitation is for another address")]
    ForAnotherAddress,
    /// The invitation is for the caller's address, which was never proven.
    #[error("the caller's address is not verified")]
    AddressNotVerified,
    /// The request breaks rules or contradicts the present state: a stale `If-Match`, a cursor that
    /// this list never gave out.
    #[error(transparent)]
    Refused(#[from] Problem),
    /// The database failed.
    #[error("the storage of organizations failed")]
    Db(#[from] DbErr),
}

impl From<OrganizationError> for Problem {
    fn from(error: OrganizationError) -> Self {
        use OrganizationError as E;
        match error {
            E::OrganizationNotFound => {
                ORGANIZATION_NOT_FOUND.because("You belong to no organization with this id.")
            }
            E::WebsiteNotFound => WEBSITE_NOT_FOUND.because("You have no website with this id."),
            E::MemberNotFound => MEMBER_NOT_FOUND.because("Nobody with this user id is a member."),
            E::InvitationNotFound => INVITATION_NOT_FOUND.because("There is no such invitation here."),
            E::Forbidden(needed) => FORBIDDEN.because(format!("This takes {needed}.")),
            E::LastAdmin => LAST_ADMIN.because("The organization would have no admin any more."),
            E::AlreadyMember => ALREADY_MEMBER
                .because("The account with this address is a member already.")
                .with_fault("email", ALREADY_MEMBER.code, "belongs to a member"),
            E::InvitationPending => INVITATION_PENDING
                .because("An invitation for this address is pending.")
                .with_fault("email", INVITATION_PENDING.code, "is invited already"),
            E::InvitationDecided => INVITATION_DECIDED.because("The invitation was decided already."),
            E::UrlTaken => URL_TAKEN
                .because("Another website of the organization has this address.")
                .with_fault("url", URL_TAKEN.code, "belongs to another website"),
            E::NotConfirmed => {
                let message = "must be the organization's name, to confirm that it is to be deleted";
                Faults::one("confirm", "confirmation_mismatch", message).into()
            }
            E::TokenInvalid => TOKEN_INVALID.because(
                "The invitation has expired, was answered or revoked, or never existed. Ask whoever invited you for a new one.",
            ),
            E::ForAnotherAddress => INVITATION_FOR_ANOTHER_ADDRESS
                .because("The invitation is for another e-mail address than your account's."),
            E::AddressNotVerified => {
                INVITATION_NEEDS_VERIFIED_EMAIL.because("Your e-mail address is not verified yet.")
            }
            E::Refused(problem) => problem,
            E::Db(error) => error.into_problem(),
        }
    }
}

impl From<OrganizationError> for HookError {
    fn from(error: OrganizationError) -> Self {
        match error {
            OrganizationError::Db(error) => Self::Db(error),
            other => Self::Refused(other.into()),
        }
    }
}
