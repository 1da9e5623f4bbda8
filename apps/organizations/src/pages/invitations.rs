//! Who is invited to an organization or a website.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use mainstay_app::Email;
use mainstay_auth::Access;
use mainstay_core::Problem;
use mainstay_core::input::Text as _;
use mainstay_http::{ApiRouter, Id};
use mainstay_web::{Field, Flash, Form, Pager, Shape, Submitted, Tone, Visit, moment};

use super::place::{Frame, Part, Room};
use super::{PAGE, Pages, ROLES, explain, role_text};
use crate::domain::InvitationId;
use crate::domain::invitation::{Invitation, InvitationStatus, NewInvitation};
use crate::domain::role::MemberRole;
use crate::error::OrganizationError;
use crate::http::{A_MAIL, Within, who};
use crate::service::{Deed, MadeInvitation, Tenancy};

pub(super) fn routes<R: Room>(router: ApiRouter<Pages>) -> ApiRouter<Pages> {
    let paths = R::PATHS;
    let to_invitation = || {
        get(async |Within(id, invitation): Within<R, InvitationId>, visit: Visit| {
            visit.redirect(&path_of(id, invitation), None)
        })
    };
    router
        .console_page(paths.invitations, get(list::<R>).post(invite::<R>), Access::Session)
        .at_cost(A_MAIL)
        .console_page(paths.invitation, get(show::<R>), Access::Session)
        .console_page(paths.resend, to_invitation().post(resend::<R>), Access::Session)
        .at_cost(A_MAIL)
        .console_page(paths.revoke, to_invitation().post(revoke::<R>), Access::Session)
}

fn path_of<R: Room>(id: R, invitation: InvitationId) -> String {
    format!("{}/invitations/{invitation}", id.path())
}

/// An invitation as a page shows it.
struct Row {
    path: String,
    email: String,
    role: MemberRole,
    status: InvitationStatus,
    made: String,
    ends: String,
}

impl Row {
    fn new<R: Room>(id: R, invitation: Invitation) -> Self {
        Self {
            path: path_of(id, invitation.id),
            role: invitation.role,
            status: invitation.status,
            made: moment(invitation.created_at),
            ends: moment(invitation.expires_at),
            email: invitation.email,
        }
    }

    fn role_text(&self) -> &'static str {
        role_text(Some(self.role))
    }

    fn is_expired(&self) -> bool {
        self.status == InvitationStatus::Expired
    }

    fn status_text(&self) -> &'static str {
        match self.status {
            InvitationStatus::Pending => "Pending",
            InvitationStatus::Accepted => "Accepted",
            InvitationStatus::Declined => "Declined",
            InvitationStatus::Revoked => "Revoked",
            InvitationStatus::Expired => "Expired",
        }
    }

    fn status_class(&self) -> &'static str {
        match self.status {
            InvitationStatus::Accepted => "tag",
            InvitationStatus::Pending | InvitationStatus::Revoked => "tag plain",
            InvitationStatus::Declined | InvitationStatus::Expired => "tag bad",
        }
    }
}

#[derive(Template)]
#[template(path = "invitations.html")]
struct Content {
    frame: Frame,
    noun: &'static str,
    invitations: Vec<Row>,
    pager: Pager,
    invite: Form,
}

fn invite_form<R: Room>(visit: &Visit, id: R, email: &str, role: &str) -> Form {
    visit
        .form("invite", format!("{}/invitations", id.path()), "Invite")
        .field(Field::email("email", "E-mail address").autocomplete("off").value(email))
        .field(Field::choice("role", "Role", &ROLES).value(role))
}

async fn page<R: Room>(
    tenancy: &Tenancy,
    visit: &Visit,
    id: R,
    invite: Form,
    status: StatusCode,
) -> Result<Response, Problem> {
    let who = who(visit.caller())?;
    let frame = id.frame(tenancy, &who, Part::Invitations).await?;
    let page = tenancy.list_invitations(&who, id, None, &visit.paging(PAGE)).await?;
    let content = Content {
        pager: Pager::of(format!("{}/invitations", id.path()), &page),
        invitations: page.items.into_iter().map(|invitation| Row::new(id, invitation)).collect(),
        noun: R::NOUN,
        invite,
        frame,
    };
    Ok(visit.show(status, &format!("Invitations to {}", content.frame.name), Shape::Wide, &content))
}

async fn list<R: Room>(
    State(tenancy): State<Tenancy>,
    Id(id): Id<R>,
    visit: Visit,
) -> Result<Response, Problem> {
    let form = invite_form(&visit, id, "", "user");
    page(&tenancy, &visit, id, form, StatusCode::OK).await
}

async fn invite<R: Room>(
    State(tenancy): State<Tenancy>,
    Id(id): Id<R>,
    sent: Submitted,
) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let mut form = invite_form(visit, id, sent.get("email"), sent.get("role"));
    let email = form.judge("email", Email::parse(sent.get("email")));
    let role = form.judge("role", MemberRole::parse(sent.get("role")));
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some((email, role)) = email.zip(role) {
        let text = format!("{} is invited. A mail with the link is on its way.", email.as_str());
        match tenancy.invite_now(&who(visit.caller())?, id, NewInvitation { email, role }).await {
            Ok(made) => return Ok(visit.redirect(&path_of(id, made.invitation.id), Some(Flash::done(text)))),
            Err(error) => status = explain(&mut form, error)?,
        }
    }
    page(&tenancy, visit, id, form, status).await
}

#[derive(Template)]
#[template(path = "invitation.html")]
struct One {
    frame: Frame,
    row: Row,
    /// Of one that can be accepted.
    link: Option<String>,
    resend: Option<Form>,
    revoke: Option<Form>,
}

async fn show<R: Room>(
    State(tenancy): State<Tenancy>,
    Within(id, invitation): Within<R, InvitationId>,
    visit: Visit,
) -> Result<Response, Problem> {
    let who = who(visit.caller())?;
    let frame = id.frame(&tenancy, &who, Part::Invitations).await?;
    let MadeInvitation { invitation, link, token: _ } = tenancy.get_invitation(&who, id, invitation).await?;
    let row = Row::new(id, invitation);
    let is_open = matches!(row.status, InvitationStatus::Pending | InvitationStatus::Expired);
    let form = |deed, end: &str, button, tone| {
        let allowed = is_open && frame.rights.allow(R::action(deed));
        allowed.then(|| visit.form("answer", format!("{}/{end}", row.path), button).tone(tone))
    };
    let content = One {
        link: (row.status == InvitationStatus::Pending).then_some(link),
        resend: form(Deed::ResendInvitation, "resend", "Send it again", Tone::Quiet),
        revoke: form(Deed::RevokeInvitation, "revoke", "Revoke it", Tone::Danger),
        frame,
        row,
    };
    let title = format!("Invitation of {}", content.row.email);
    Ok(visit.show(StatusCode::OK, &title, Shape::Wide, &content))
}

/// What came in between stands on the invitation's page.
fn overtaken(visit: &Visit, path: &str, error: OrganizationError) -> Result<Response, Problem> {
    let text = match error {
        OrganizationError::InvitationDecided => "It was answered or revoked in the meantime.",
        OrganizationError::InvitationPending => "A newer invitation of this address is pending.",
        other => return Err(other.into()),
    };
    Ok(visit.redirect(path, Some(Flash::note(text))))
}

async fn resend<R: Room>(
    State(tenancy): State<Tenancy>,
    Within(id, invitation): Within<R, InvitationId>,
    sent: Submitted,
) -> Result<Response, Problem> {
    let visit = &sent.visit;
    match tenancy.resend_invitation(&who(visit.caller())?, id, invitation).await {
        Ok(_) => {
            let text = "It is sent again, with a new link. The earlier link does not work any more.";
            Ok(visit.redirect(&path_of(id, invitation), Some(Flash::done(text))))
        }
        Err(error) => overtaken(visit, &path_of(id, invitation), error),
    }
}

async fn revoke<R: Room>(
    State(tenancy): State<Tenancy>,
    Within(id, invitation): Within<R, InvitationId>,
    sent: Submitted,
) -> Result<Response, Problem> {
    let visit = &sent.visit;
    match tenancy.revoke_invitation(&who(visit.caller())?, id, invitation).await {
        Ok(()) => {
            let text = "The invitation is revoked. Its link does not work any more.";
            Ok(visit.redirect(&path_of(id, invitation), Some(Flash::done(text))))
        }
        Err(error) => overtaken(visit, &path_of(id, invitation), error),
    }
}
