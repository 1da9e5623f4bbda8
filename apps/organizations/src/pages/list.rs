//! What one belongs to.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use mainstay_auth::Access;
use mainstay_core::{Paging, Problem};
use mainstay_http::ApiRouter;
use mainstay_web::{Field, Flash, Form, Pager, Shape, Submitted, Visit, moment};

use super::place::Room as _;
use super::{PAGE, Pages, explain, role_class, role_text};
use crate::domain::organization::{Name, NewOrganization, Organization, Standing};
use crate::domain::role::MemberRole;
use crate::domain::website::Website;
use crate::http::who;
use crate::service::Tenancy;

pub(super) const ORGANIZATIONS: &str = "/console/organizations";
pub(super) const WEBSITES: &str = "/console/websites";

pub(super) fn routes(router: ApiRouter<Pages>) -> ApiRouter<Pages> {
    router.console_page(ORGANIZATIONS, get(show).post(create), Access::Session).console_page(
        WEBSITES,
        get(websites),
        Access::Session,
    )
}

/// A line of a list.
pub(super) struct Row {
    path: String,
    name: String,
    about: String,
    role: Option<MemberRole>,
}

impl Row {
    fn role_text(&self) -> &'static str {
        role_text(self.role)
    }

    fn role_class(&self) -> &'static str {
        role_class(self.role)
    }
}

impl From<Standing<Organization>> for Row {
    fn from(standing: Standing<Organization>) -> Self {
        let Standing { of, role } = standing;
        Self { path: of.id.path(), name: of.name, about: format!("since {}", moment(of.created_at)), role }
    }
}

impl From<Standing<Website>> for Row {
    fn from(standing: Standing<Website>) -> Self {
        let Standing { of, role } = standing;
        Self { path: of.id.path(), name: of.name, about: of.url, role }
    }
}

/// Lines with links.
#[derive(Template)]
#[template(path = "rows.html")]
pub(super) struct Rows(Vec<Row>);

impl Rows {
    pub(super) fn of<T>(items: Vec<T>) -> Self
    where
        Row: From<T>,
    {
        Self(items.into_iter().map(Row::from).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Its own template escapes what it holds.
impl askama::filters::HtmlSafe for Rows {}

#[derive(Template)]
#[template(path = "organizations.html")]
struct Content {
    organizations: Rows,
    pager: Pager,
    shared: Rows,
    has_more_shared: bool,
    new: Form,
}

fn new_form(visit: &Visit, name: &str) -> Form {
    visit
        .form("organization", ORGANIZATIONS, "Create the organization")
        .field(Field::text("name", "Name").value(name).autocomplete("organization"))
}

async fn page(tenancy: &Tenancy, visit: &Visit, new: Form, status: StatusCode) -> Result<Response, Problem> {
    let who = who(visit.caller())?;
    let organizations = tenancy.list(&who, &visit.paging(PAGE)).await?;
    let shared = tenancy.list_own_websites(&who, true, &Paging::first(PAGE)).await?;
    let content = Content {
        pager: Pager::of(ORGANIZATIONS, &organizations),
        organizations: Rows::of(organizations.items),
        has_more_shared: shared.has_next,
        shared: Rows::of(shared.items),
        new,
    };
    Ok(visit.show(status, "Organizations", Shape::Wide, &content))
}

async fn show(State(tenancy): State<Tenancy>, visit: Visit) -> Result<Response, Problem> {
    let new = new_form(&visit, "");
    page(&tenancy, &visit, new, StatusCode::OK).await
}

async fn create(State(tenancy): State<Tenancy>, sent: Submitted) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let mut form = new_form(visit, sent.get("name"));
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some(name) = form.judge("name", Name::parse(sent.get("name"))) {
        match tenancy.create(&who(visit.caller())?, NewOrganization { name }).await {
            Ok(made) => {
                let text = format!("{} is made. You are its admin.", made.of.name);
                return Ok(visit.redirect(&made.of.id.path(), Some(Flash::done(text))));
            }
            Err(error) => status = explain(&mut form, error)?,
        }
    }
    page(&tenancy, visit, form, status).await
}

#[derive(Template)]
#[template(path = "websites.html")]
struct Websites {
    websites: Rows,
    pager: Pager,
}

async fn websites(State(tenancy): State<Tenancy>, visit: Visit) -> Result<Response, Problem> {
    let page = tenancy.list_own_websites(&who(visit.caller())?, false, &visit.paging(PAGE)).await?;
    let pager = Pager::of(WEBSITES, &page);
    let content = Websites { websites: Rows::of(page.items), pager };
    Ok(visit.show(StatusCode::OK, "Websites", Shape::Wide, &content))
}
