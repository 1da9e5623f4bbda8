//! One organization: its websites, and its settings.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use mainstay_auth::Access;
use mainstay_core::{Patch, Problem};
use mainstay_http::{ApiRouter, ETag, Id, IfMatch};
use mainstay_web::{Field, Flash, Form, Pager, Shape, Submitted, Tone, Visit};

use super::list::{ORGANIZATIONS, Rows};
use super::members::leave_form;
use super::place::{Frame, Part, Room as _, of_organization};
use super::website::{read_website, website_form};
use super::{PAGE, Pages, explain, is_stale, overtaken};
use crate::domain::OrganizationId;
use crate::domain::matrix::Action;
use crate::domain::organization::{Name, Organization, OrganizationPatch};
use crate::domain::website::NewWebsite;
use crate::http::who;
use crate::repo::access::Rights;
use crate::service::{Looked, Tenancy};

pub(super) fn routes(router: ApiRouter<Pages>) -> ApiRouter<Pages> {
    let to_start = || get(async |Id(id): Id<OrganizationId>, visit: Visit| visit.redirect(&id.path(), None));
    let to_settings = async |Id(id): Id<OrganizationId>, visit: Visit| {
        visit.redirect(&format!("{}/settings", id.path()), None)
    };
    router
        .console_page("/console/organizations/{id}", get(show), Access::Session)
        .console_page("/console/organizations/{id}/websites", to_start().post(add_website), Access::Session)
        .console_page("/console/organizations/{id}/settings", get(settings).post(rename), Access::Session)
        .console_page("/console/organizations/{id}/delete", get(to_settings).post(delete), Access::Session)
}

#[derive(Template)]
#[template(path = "organization.html")]
struct Start {
    frame: Frame,
    websites: Rows,
    pager: Pager,
    add: Option<Form>,
}

async fn page(
    tenancy: &Tenancy,
    visit: &Visit,
    id: OrganizationId,
    faulty: Option<(Form, StatusCode)>,
) -> Result<Response, Problem> {
    let who = who(visit.caller())?;
    let frame = id.frame(tenancy, &who, Part::Start).await?;
    let websites = tenancy.list_websites(&who, id, &visit.paging(PAGE)).await?;
    let status = faulty.as_ref().map_or(StatusCode::OK, |(_, status)| *status);
    let add = faulty.map(|(form, _)| form).or_else(|| {
        let allowed = frame.rights.allow(Action::CreateWebsite);
        allowed
            .then(|| website_form(visit, format!("{}/websites", id.path()), "Add the website", ["", "", ""]))
    });
    let content =
        Start { pager: Pager::of(id.path(), &websites), websites: Rows::of(websites.items), add, frame };
    Ok(visit.show(status, &content.frame.name, Shape::Wide, &content))
}

async fn show(
    State(tenancy): State<Tenancy>,
    Id(id): Id<OrganizationId>,
    visit: Visit,
) -> Result<Response, Problem> {
    page(&tenancy, &visit, id, None).await
}

async fn add_website(
    State(tenancy): State<Tenancy>,
    Id(id): Id<OrganizationId>,
    sent: Submitted,
) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let typed = ["name", "url", "description"].map(|field| sent.get(field));
    let mut form = website_form(visit, format!("{}/websites", id.path()), "Add the website", typed);
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some((name, url, description)) = read_website(&mut form, typed) {
        let new = NewWebsite { name, url, description };
        match tenancy.create_website(&who(visit.caller())?, id, new).await {
            Ok(made) => {
                let text = format!("{} is added.", made.of.name);
                return Ok(visit.redirect(&made.of.id.path(), Some(Flash::done(text))));
            }
            Err(error) => status = explain(&mut form, error)?,
        }
    }
    page(&tenancy, visit, id, Some((form, status))).await
}

#[derive(Template)]
#[template(path = "settings.html")]
struct Settings {
    frame: Frame,
    rename: Option<Form>,
    leave: Option<Form>,
    delete: Option<Form>,
}

fn rename_form(visit: &Visit, of: &Organization, name: &str) -> Form {
    visit
        .form("rename", format!("{}/settings", of.id.path()), "Save")
        .hidden("version", of.version.to_string())
        .field(Field::text("name", "Name").value(name).autocomplete("organization"))
}

fn delete_form(visit: &Visit, of: &Organization, confirm: &str) -> Form {
    visit
        .form("delete", format!("{}/delete", of.id.path()), "Delete the organization")
        .hidden("version", of.version.to_string())
        .tone(Tone::Danger)
        .field(
            Field::text("confirm", "Its name")
                .hint(format!("Type “{}” to confirm that it is meant.", of.name))
                .value(confirm),
        )
}

/// The page of the settings, with a form that somebody has sent already in the place of its new one.
fn settings_page(
    visit: &Visit,
    looked: &Looked<Organization>,
    sent: Option<(Sent, Form, StatusCode)>,
) -> Response {
    let Looked { of, rights } = looked;
    let allow = |action| rights.allow(action);
    let mut content = Settings {
        frame: of_organization(looked, Part::Settings),
        rename: allow(Action::UpdateOrganization).then(|| rename_form(visit, of, &of.name)),
        leave: may_leave(*rights).then(|| leave_form(visit, of.id)),
        delete: allow(Action::DeleteOrganization).then(|| delete_form(visit, of, "")),
    };
    let mut status = StatusCode::OK;
    if let Some((which, form, found)) = sent {
        status = found;
        match which {
            Sent::Rename => content.rename = Some(form),
            Sent::Delete => content.delete = Some(form),
        }
    }
    visit.show(status, &format!("Settings of {}", of.name), Shape::Wide, &content)
}

fn may_leave(rights: Rights) -> bool {
    rights.allow_by_membership(Action::LeaveOrganization)
}

#[derive(Clone, Copy)]
enum Sent {
    Rename,
    Delete,
}

async fn settings(
    State(tenancy): State<Tenancy>,
    Id(id): Id<OrganizationId>,
    visit: Visit,
) -> Result<Response, Problem> {
    let looked = tenancy.look(&who(visit.caller())?, id).await?;
    Ok(settings_page(&visit, &looked, None))
}

/// The version that the form was made for.
pub(super) fn seen(sent: &Submitted) -> IfMatch {
    IfMatch::exactly(ETag(sent.get("version").parse().unwrap_or(-1)))
}

async fn rename(
    State(tenancy): State<Tenancy>,
    Id(id): Id<OrganizationId>,
    sent: Submitted,
) -> Result<Response, Problem> {
    let (visit, typed) = (&sent.visit, sent.get("name"));
    let who = who(visit.caller())?;
    let looked = tenancy.look(&who, id).await?;
    let mut form = rename_form(visit, &looked.of, typed);
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some(name) = form.judge("name", Name::parse(typed)) {
        let patch = OrganizationPatch { name: Patch::Set(name) };
        match tenancy.update(&who, id, &seen(&sent), patch).await {
            Ok(_) => return Ok(visit.redirect(&settings_path(id), Some(Flash::done("The name is saved.")))),
            Err(error) if is_stale(&error) => {
                // Read again: what it says must be what there is now, and so must the form's version.
                let looked = tenancy.look(&who, id).await?;
                let mut form = rename_form(visit, &looked.of, typed);
                form.fail(overtaken(&[("name", typed.trim(), &looked.of.name)]));
                return Ok(settings_page(visit, &looked, Some((Sent::Rename, form, StatusCode::CONFLICT))));
            }
            Err(error) => status = explain(&mut form, error)?,
        }
    }
    Ok(settings_page(visit, &looked, Some((Sent::Rename, form, status))))
}

async fn delete(
    State(tenancy): State<Tenancy>,
    Id(id): Id<OrganizationId>,
    sent: Submitted,
) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let who = who(visit.caller())?;
    match tenancy.delete(&who, id, &seen(&sent), sent.get("confirm")).await {
        Ok(()) => {
            let text = "The organization is deleted, with all that belonged to it.";
            Ok(visit.redirect(ORGANIZATIONS, Some(Flash::done(text))))
        }
        Err(error) => {
            let looked = tenancy.look(&who, id).await?;
            let mut form = delete_form(visit, &looked.of, sent.get("confirm"));
            let status = explain(&mut form, error)?;
            Ok(settings_page(visit, &looked, Some((Sent::Delete, form, status))))
        }
    }
}

fn settings_path(id: OrganizationId) -> String {
    format!("{}/settings", id.path())
}
