//! The mailbox, for staff: without an SMTP server every mail can be read here, so that its links
//! work on a laptop. Mails are shown as text: their HTML runs in no page of ours.

use askama::Template;
use axum::extract::{FromRef, State};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use mainstay_auth::{Access, Role};
use mainstay_core::{Page, Paging, Problem};
use mainstay_db::DbProblem as _;
use mainstay_http::{ApiRouter, Id};
use mainstay_mail::{Mail, MailFilter, MailId, MailStatus, StoredMail};
use mainstay_web::{Line, Linked, NavLink, Shape, Visit, Web, moment};
use sea_orm::DbErr;

use crate::Desk;
use crate::error::MAIL_NOT_FOUND;
use crate::http::TAG;

/// What the pages work with.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) desk: Desk,
    pub(crate) web: Web,
}

impl FromRef<Pages> for Web {
    fn from_ref(pages: &Pages) -> Self {
        pages.web.clone()
    }
}

impl FromRef<Pages> for Desk {
    fn from_ref(pages: &Pages) -> Self {
        pages.desk.clone()
    }
}

const MAILBOX: &str = "/console/mailbox";

pub(crate) fn links(web: &Web) {
    web.link(NavLink {
        label: "Mailbox",
        path: MAILBOX,
        also: &[],
        about: "The mails that were sent, or would have been, and what became of each.",
        access: Access::Staff,
    });
}

pub(crate) fn routes() -> ApiRouter<Pages> {
    ApiRouter::new(TAG).console_page(MAILBOX, get(list), Access::Staff).console_page(
        "/console/mailbox/{id}",
        get(show),
        Access::Staff,
    )
}

#[derive(Template)]
#[template(path = "mailbox.html")]
struct Mailbox {
    has_smtp: bool,
    mails: Vec<Row>,
    /// The numbers of the pages beside this one.
    newer: Option<u32>,
    older: Option<u32>,
}

struct Row {
    id: MailId,
    subject: String,
    address: String,
    at: String,
    status: MailStatus,
}

impl Row {
    fn new(mail: Mail) -> Self {
        Self {
            id: mail.id,
            subject: mail.subject,
            address: mail.recipient.address,
            at: moment(mail.created_at),
            status: mail.status,
        }
    }

    fn tag(&self) -> &'static str {
        match self.status {
            MailStatus::Failed => "tag bad",
            MailStatus::Queued => "tag plain",
            MailStatus::Sent => "tag",
        }
    }
}

async fn list(State(desk): State<Desk>, visit: Visit) -> Result<Response, Problem> {
    let number = visit.query("page").parse().unwrap_or(1).max(1);
    let paging = Paging { start: mainstay_core::page::Start::Page(number), ..Paging::first(50) };
    let filter = MailFilter::default();
    let page = desk.mails.list(&visit.caller().actor(), &paging, &filter).await?;
    let Page { items, has_next, .. } = page;
    let content = Mailbox {
        has_smtp: desk.mails.has_smtp(),
        mails: items.into_iter().map(Row::new).collect(),
        newer: (number > 1).then(|| number - 1),
        older: has_next.then(|| number + 1),
    };
    Ok(visit.show(StatusCode::OK, "Mailbox", Shape::Wide, &content))
}

#[derive(Template)]
#[template(path = "mail.html")]
struct Letter<'a> {
    row: &'a Row,
    template: &'a str,
    error: Option<&'a str>,
    /// `None`: it was handed over, or holds a secret that the reader must not see.
    text: Option<Linked<'a>>,
}

async fn show(State(desk): State<Desk>, Id(id): Id<MailId>, visit: Visit) -> Result<Response, Problem> {
    let found = desk.mails.find(id).await.map_err(DbErr::into_problem)?;
    let StoredMail { mail, content } = found.ok_or_else(|| MAIL_NOT_FOUND.because("No mail has this id."))?;
    // As in the API: a link that resets an administrator's password would make its reader one.
    let is_admin = visit.caller().user().is_some_and(|user| user.roles.grants(Role::Admin));
    let shown = content.filter(|_| !mail.confidential || desk.on_a_laptop || is_admin);
    let (template, error) = (mail.template.clone(), mail.last_error.clone());
    let row = Row::new(mail);
    let letter = Letter {
        row: &row,
        template: &template,
        error: error.as_deref(),
        text: shown.as_ref().map(|content| Linked::of(&content.text)),
    };
    Ok(visit.show(StatusCode::OK, &row.subject, Shape::Wide, &letter))
}
