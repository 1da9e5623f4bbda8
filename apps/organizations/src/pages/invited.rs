//! The page that the mail of an invitation links to. Newcomers make their account on the way.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use mainstay_auth::Access;
use mainstay_core::Problem;
use mainstay_http::ApiRouter;
use mainstay_web::{Flash, Form, Shape, Submitted, Tone, Visit, moment};
use url::form_urlencoded::Serializer;

use super::Pages;
use crate::domain::role::MemberRole;
use crate::error::OrganizationError;
use crate::http::who;
use crate::service::{Invited, Tenancy};

const ACCEPT: &str = "/console/invitations/accept";
const DECLINE: &str = "/console/invitations/decline";

pub(super) fn routes(router: ApiRouter<Pages>) -> ApiRouter<Pages> {
    router.console_page(ACCEPT, get(show).post(accept), Access::Anybody).console_page(
        DECLINE,
        get(async |visit: Visit| visit.redirect("/", None)).post(decline),
        Access::Anybody,
    )
}

#[derive(Template)]
#[template(path = "invited.html")]
struct Content {
    place: String,
    inviter: Option<String>,
    is_admin: bool,
    email: String,
    expires: String,
    /// For who is signed in.
    accept: Option<Form>,
    decline: Form,
    register: String,
    sign_in: String,
}

#[derive(Template)]
#[template(path = "not_invited.html")]
struct Dead;

async fn page(
    tenancy: &Tenancy,
    visit: &Visit,
    token: &str,
    fault: Option<&str>,
) -> Result<Response, Problem> {
    let invited = match tenancy.preview(token).await {
        Ok(invited) => invited,
        Err(OrganizationError::TokenInvalid) => {
            return Ok(visit.show(
                StatusCode::GONE,
                "This invitation does not work any more",
                Shape::Narrow,
                &Dead,
            ));
        }
        Err(error) => return Err(error.into()),
    };
    let Invited { organization, website, role, email, inviter, status: _, expires_at } = invited;
    let with = |path: &str, name: &str, value: &str| {
        format!("{path}?{}", Serializer::new(String::new()).append_pair(name, value).finish())
    };
    let here = with(ACCEPT, "token", token);
    let accept = visit.caller().user().map(|_| {
        let mut form = visit.form("accept", ACCEPT, "Accept the invitation").hidden("token", token);
        if let Some(fault) = fault {
            form.fail(fault);
        }
        form
    });
    let content = Content {
        place: website.map_or_else(|| organization.clone(), |website| format!("{website} ({organization})")),
        inviter,
        is_admin: role == MemberRole::Admin,
        email,
        expires: moment(expires_at),
        accept,
        decline: visit.form("decline", DECLINE, "Decline").hidden("token", token).tone(Tone::Quiet),
        register: with("/register", "token", token),
        sign_in: with("/login", "next", &here),
    };
    let status = if fault.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(visit.show(status, "You are invited", Shape::Narrow, &content))
}

async fn show(State(tenancy): State<Tenancy>, visit: Visit) -> Result<Response, Problem> {
    page(&tenancy, &visit, &visit.query("token"), None).await
}

const OTHER: &str = "The invitation is for another address than your account's. Sign out, and use the account with that address.";
const UNPROVEN: &str =
    "Confirm your e-mail address first: a link to do so is in your mailbox. Then come back to this page.";

async fn accept(State(tenancy): State<Tenancy>, sent: Submitted) -> Result<Response, Problem> {
    let (visit, token) = (&sent.visit, sent.get("token"));
    match tenancy.accept(&who(visit.caller())?, token).await {
        Ok(invitation) => {
            let place = match invitation.website_id {
                Some(website) => format!("/console/websites/{website}"),
                None => format!("/console/organizations/{}", invitation.organization_id),
            };
            Ok(visit.redirect(&place, Some(Flash::done("You have joined."))))
        }
        Err(OrganizationError::ForAnotherAddress) => page(&tenancy, visit, token, Some(OTHER)).await,
        Err(OrganizationError::AddressNotVerified) => page(&tenancy, visit, token, Some(UNPROVEN)).await,
        // It shows that the invitation is over.
        Err(OrganizationError::TokenInvalid) => page(&tenancy, visit, token, None).await,
        Err(error) => Err(error.into()),
    }
}

async fn decline(State(tenancy): State<Tenancy>, sent: Submitted) -> Result<Response, Problem> {
    let (visit, token) = (&sent.visit, sent.get("token"));
    let by = visit.caller().user().map(|user| user.user_id);
    match tenancy.decline(&visit.caller().actor(), by, token).await {
        Ok(()) => Ok(visit.redirect("/", Some(Flash::done("The invitation is declined.")))),
        Err(OrganizationError::ForAnotherAddress) => page(&tenancy, visit, token, Some(OTHER)).await,
        Err(OrganizationError::TokenInvalid) => page(&tenancy, visit, token, None).await,
        Err(error) => Err(error.into()),
    }
}
