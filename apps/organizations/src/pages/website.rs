//! One website.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use mainstay_auth::Access;
use mainstay_core::{Patch, Problem, text};
use mainstay_http::{ApiRouter, ETag, Id};
use mainstay_web::{Field, Flash, Form, Shape, Submitted, Tone, Visit, moment};

use super::list::ORGANIZATIONS;
use super::members::leave_form;
use super::organization::seen;
use super::place::{Frame, Part, Room as _, of_website};
use super::{Pages, explain, is_stale, overtaken};
use crate::domain::WebsiteId;
use crate::domain::matrix::Action;
use crate::domain::organization::Name;
use crate::domain::website::{Description, Website, WebsitePatch, WebsiteUrl};
use crate::error::OrganizationError;
use crate::http::who;
use crate::service::{Looked, Tenancy, Who};

pub(super) fn routes(router: ApiRouter<Pages>) -> ApiRouter<Pages> {
    let to_start = async |Id(id): Id<WebsiteId>, visit: Visit| visit.redirect(&id.path(), None);
    router.console_page("/console/websites/{id}", get(show).post(save), Access::Session).console_page(
        "/console/websites/{id}/delete",
        get(to_start).post(delete),
        Access::Session,
    )
}

/// The form of a website, for a new one and for one that is there: name, address and description.
pub(super) fn website_form(
    visit: &Visit,
    action: String,
    button: &'static str,
    [name, url, description]: [&str; 3],
) -> Form {
    visit
        .form("website", action, button)
        .field(Field::text("name", "Name").value(name))
        .field(
            Field::text("url", "Address")
                .autocomplete("url")
                .hint("Such as https://www.example.com/")
                .value(url),
        )
        .field(Field::long("description", "Description").value(description).optional())
}

/// What was typed into it, or faults in the form.
pub(super) fn read_website(
    form: &mut Form,
    [name, url, description]: [&str; 3],
) -> Option<(Name, WebsiteUrl, Option<Description>)> {
    let name = form.judge("name", Name::parse(name));
    let url = form.judge("url", WebsiteUrl::parse(url));
    let description = match description.trim() {
        "" => Some(None),
        text => form.judge("description", Description::parse(text)).map(Some),
    };
    Some((name?, url?, description?))
}

#[derive(Template)]
#[template(path = "website.html")]
struct Content {
    frame: Frame,
    url: String,
    added: String,
    changed: String,
    edit: Option<Form>,
    leave: Option<Form>,
    delete: Option<Form>,
}

fn edit_form(visit: &Visit, of: &Website, typed: [&str; 3]) -> Form {
    website_form(visit, of.id.path(), "Save", typed).hidden("version", of.version.to_string())
}

fn delete_form(visit: &Visit, of: &Website, confirm: &str) -> Form {
    visit
        .form("delete", format!("{}/delete", of.id.path()), "Delete the website")
        .hidden("version", of.version.to_string())
        .tone(Tone::Danger)
        .field(
            Field::text("confirm", "Its name")
                .hint(format!("Type “{}” to confirm that it is meant.", of.name))
                .value(confirm),
        )
}

/// The forms that were sent already, in the place of new ones.
#[derive(Default)]
struct Sent {
    edit: Option<Form>,
    delete: Option<Form>,
    status: StatusCode,
}

async fn page(
    tenancy: &Tenancy,
    visit: &Visit,
    who: &Who,
    looked: &Looked<Website>,
    sent: Sent,
) -> Result<Response, Problem> {
    let Looked { of, rights } = looked;
    let kept = [&*of.name, &*of.url, of.description.as_deref().unwrap_or_default()];
    let new = |action, form: &dyn Fn() -> Form| rights.allow(action).then(form);
    let content = Content {
        frame: of_website(tenancy, who, looked, Part::Start).await?,
        url: of.url.clone(),
        added: moment(of.created_at),
        changed: moment(of.updated_at),
        edit: sent.edit.or_else(|| new(Action::UpdateWebsite, &|| edit_form(visit, of, kept))),
        leave: rights.allow_by_membership(Action::LeaveWebsite).then(|| leave_form(visit, of.id)),
        delete: sent.delete.or_else(|| new(Action::DeleteWebsite, &|| delete_form(visit, of, ""))),
    };
    Ok(visit.show(sent.status, &of.name, Shape::Wide, &content))
}

async fn show(
    State(tenancy): State<Tenancy>,
    Id(id): Id<WebsiteId>,
    visit: Visit,
) -> Result<Response, Problem> {
    let who = who(visit.caller())?;
    let looked = tenancy.look_at_website(&who, id).await?;
    page(&tenancy, &visit, &who, &looked, Sent::default()).await
}

async fn save(
    State(tenancy): State<Tenancy>,
    Id(id): Id<WebsiteId>,
    sent: Submitted,
) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let who = who(visit.caller())?;
    let looked = tenancy.look_at_website(&who, id).await?;
    let typed = ["name", "url", "description"].map(|field| sent.get(field));
    let mut form = edit_form(visit, &looked.of, typed);
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some((name, url, description)) = read_website(&mut form, typed) {
        let patch = WebsitePatch {
            name: Patch::Set(name),
            url: Patch::Set(url.clone()),
            description: Patch::Set(description),
        };
        match tenancy.update_website(&who, id, &seen(&sent), patch).await {
            Ok(_) => return Ok(visit.redirect(&id.path(), Some(Flash::done("The website is saved.")))),
            Err(error) if is_stale(&error) => {
                // Read again: what it says must be what there is now, and so must the form's version.
                let looked = tenancy.look_at_website(&who, id).await?;
                let (now, [name, _, description]) = (&looked.of, typed.map(str::trim));
                let mut form = edit_form(visit, now, typed);
                form.fail(overtaken(&[
                    ("name", name, &now.name),
                    ("address", url.as_str(), &now.url),
                    ("description", description, now.description.as_deref().unwrap_or_default()),
                ]));
                let sent = Sent { edit: Some(form), status: StatusCode::CONFLICT, ..Sent::default() };
                return page(&tenancy, visit, &who, &looked, sent).await;
            }
            Err(error) => status = explain(&mut form, error)?,
        }
    }
    page(&tenancy, visit, &who, &looked, Sent { edit: Some(form), status, ..Sent::default() }).await
}

async fn delete(
    State(tenancy): State<Tenancy>,
    Id(id): Id<WebsiteId>,
    sent: Submitted,
) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let who = who(visit.caller())?;
    let looked = tenancy.look_at_website(&who, id).await?;
    let done = match confirmed(&looked, &sent) {
        Ok(()) => tenancy.delete_website(&who, id, &seen(&sent)).await,
        Err(error) => Err(error),
    };
    let error = match done {
        Ok(()) => {
            // Who was let onto the website alone has no page of its organization to go back to.
            let organization = looked.rights.allow(Action::ReadOrganization);
            let back = organization.then(|| looked.of.organization_id.path());
            let back = back.unwrap_or_else(|| ORGANIZATIONS.to_owned());
            return Ok(visit.redirect(&back, Some(Flash::done("The website is deleted."))));
        }
        Err(error) => error,
    };
    let looked = tenancy.look_at_website(&who, id).await?;
    let mut form = delete_form(visit, &looked.of, sent.get("confirm"));
    let status = explain(&mut form, error)?;
    page(&tenancy, visit, &who, &looked, Sent { delete: Some(form), status, ..Sent::default() }).await
}

/// Whether its name was typed, as it stood on the page that was sent.
fn confirmed(looked: &Looked<Website>, sent: &Submitted) -> Result<(), OrganizationError> {
    // Only who may delete it hears whether the name is right.
    if looked.rights.allow(Action::DeleteWebsite) {
        seen(sent).check(ETag(looked.of.version))?;
        if text::clean_line(sent.get("confirm")) != looked.of.name {
            return Err(OrganizationError::NotConfirmed);
        }
    }
    Ok(())
}
