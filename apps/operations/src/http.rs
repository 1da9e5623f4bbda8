//! The desk over HTTP.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mainstay_auth::{Access, Caller, Role};
use mainstay_core::input::Text;
use mainstay_core::page::Sorting;
use mainstay_core::{Invalid, Page, Paging, Problem, Timestamp};
use mainstay_db::DbProblem as _;
use mainstay_events::{AuditFilter, AuditRecord, DeadLetter, DeadLetterId, JobStatus, job};
use mainstay_http::{ApiRouter, Id, Listing, Tag, Valid, ValidQuery, routes};
use mainstay_mail::{Content, Mail, MailFilter, MailId, MailOrder, MailStatus, StoredMail};
use sea_orm::DbErr;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Desk;
use crate::error::{DEAD_LETTER_NOT_FOUND, MAIL_NOT_FOUND};

pub(crate) const TAG: Tag = Tag {
    name: "Operations",
    about: "For those who run the installation: the audit log, dead letters, jobs, the mailbox.",
};

pub(crate) fn routes() -> ApiRouter<Desk> {
    ApiRouter::new(TAG)
        .route(routes!(list_audit_entries), Access::Admin, &[])
        .route(routes!(list_dead_letters), Access::Admin, &[])
        .route(routes!(get_dead_letter), Access::Admin, &[&DEAD_LETTER_NOT_FOUND])
        .route(routes!(replay_dead_letter), Access::Admin, &[&DEAD_LETTER_NOT_FOUND])
        .route(routes!(replay_dead_letters), Access::Admin, &[])
        .route(routes!(discard_dead_letter), Access::Admin, &[&DEAD_LETTER_NOT_FOUND])
        .route(routes!(list_jobs), Access::Admin, &[])
        .route(routes!(list_mails), Access::Staff, &[])
        .route(routes!(get_mail), Access::Staff, &[&MAIL_NOT_FOUND])
}

/// The order of lists that have one: when it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByTime;

/// As [`ByTime`], under the name that the audit log's field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BySeq;

impl Sorting for ByTime {
    const ALL: &'static [(&'static str, Self)] = &[("died_at", Self)];
    const DEFAULT: (Self, bool) = (Self, true);
}

impl Sorting for BySeq {
    const ALL: &'static [(&'static str, Self)] = &[("seq", Self)];
    const DEFAULT: (Self, bool) = (Self, true);
}

mainstay_core::text_type! {
    /// What a list is filtered by: 1 to 200 characters.
    pub struct FilterText(1..=200);
}

mainstay_core::input! {
    /// Which entries of the audit log to list.
    pub struct ListAuditEntries {
        /// Paging.
        paging: Paging<BySeq>,
        /// Only what this actor did: `user/…`, `service/…`, `system/…` or `anonymous`.
        actor: Option<FilterText>,
        /// Only this action, or `user.*` for all that begin with `user.`.
        action: Option<FilterText>,
        /// Only what was done to this: `user/…`.
        target: Option<FilterText>,
        /// Only what happened in this request.
        request_id: Option<FilterText>,
        /// Only from this moment on.
        from: Option<Timestamp>,
        /// Only before this moment.
        to: Option<Timestamp>,
    }
}

/// List the audit log
///
/// Every security event and every change, the newest first. Entries are chained;
/// `mainstay audit verify` tells whether one was changed or removed.
#[utoipa::path(get, path = "/audit", params(ListAuditEntries), responses(
    (status = 200, description = "A page of entries", body = Page<AuditRecord>),
))]
async fn list_audit_entries(
    State(desk): State<Desk>,
    ValidQuery(query): ValidQuery<ListAuditEntries>,
) -> Result<Listing<AuditRecord>, Problem> {
    let ListAuditEntries { paging, actor, action, target, request_id, from, to } = query;
    let text = |text: Option<FilterText>| text.map(FilterText::into_string);
    let filter = AuditFilter {
        actor: text(actor),
        action: text(action),
        target: text(target),
        request_id: text(request_id),
        from,
        to,
    };
    Ok(Listing { page: desk.audit.list(&paging, &filter).await?, cache: None })
}

mainstay_core::input! {
    /// Which dead letters to list.
    pub struct ListDeadLetters {
        /// Paging.
        paging: Paging<ByTime>,
        /// Only those of this consumer.
        consumer: Option<FilterText>,
    }
}

/// List dead letters
///
/// Events that a consumer gave up on after `events.max_attempts` tries, the newest first.
#[utoipa::path(get, path = "/events/dead-letters", params(ListDeadLetters), responses(
    (status = 200, description = "A page of dead letters", body = Page<DeadLetter>),
))]
async fn list_dead_letters(
    State(desk): State<Desk>,
    ValidQuery(query): ValidQuery<ListDeadLetters>,
) -> Result<Listing<DeadLetter>, Problem> {
    let ListDeadLetters { paging, consumer } = query;
    let page = desk.dead_letters.list(&paging, consumer.as_ref().map(FilterText::as_str)).await?;
    Ok(Listing { page, cache: None })
}

fn no_letter() -> Problem {
    DEAD_LETTER_NOT_FOUND.because("No dead letter has this id.")
}

/// Get a dead letter
#[utoipa::path(get, path = "/events/dead-letters/{id}",
    params(("id" = String, Path, description = "Names it", format = "uuid")),
    responses((status = 200, description = "The dead letter", body = DeadLetter))
)]
async fn get_dead_letter(
    State(desk): State<Desk>,
    Id(id): Id<DeadLetterId>,
) -> Result<Json<DeadLetter>, Problem> {
    let letter = desk.dead_letters.find(id).await.map_err(DbErr::into_problem)?;
    letter.map(Json).ok_or_else(no_letter)
}

/// Replay a dead letter
///
/// Delivers the event to the consumer again, as if it had just come.
#[utoipa::path(post, path = "/events/dead-letters/{id}/replay",
    params(("id" = String, Path, description = "Names it", format = "uuid")),
    responses((status = 204, description = "It is on its way"))
)]
async fn replay_dead_letter(
    State(desk): State<Desk>,
    caller: Caller,
    Id(id): Id<DeadLetterId>,
) -> Result<StatusCode, Problem> {
    let replayed = desk.dead_letters.replay(&caller.actor(), id).await.map_err(DbErr::into_problem)?;
    if replayed { Ok(StatusCode::NO_CONTENT) } else { Err(no_letter()) }
}

mainstay_core::input! {
    /// Which dead letters to replay.
    pub struct ReplayDeadLetters {
        /// Only those of this consumer; all if absent.
        consumer: Option<FilterText>,
    }
}

/// How many dead letters were replayed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Replayed {
    /// That many.
    #[schema(minimum = 0)]
    replayed: u64,
}

/// Replay all dead letters
///
/// Or all of one consumer, oldest first. Those that die again meanwhile are left.
#[utoipa::path(post, path = "/events/dead-letters/replay", request_body = ReplayDeadLetters, responses(
    (status = 200, description = "How many", body = Replayed),
))]
async fn replay_dead_letters(
    State(desk): State<Desk>,
    caller: Caller,
    Valid(body): Valid<ReplayDeadLetters>,
) -> Result<Json<Replayed>, Problem> {
    let consumer = body.consumer.as_ref().map(FilterText::as_str);
    let replayed =
        desk.dead_letters.replay_all(&caller.actor(), consumer).await.map_err(DbErr::into_problem)?;
    Ok(Json(Replayed { replayed }))
}

/// Discard a dead letter
#[utoipa::path(delete, path = "/events/dead-letters/{id}",
    params(("id" = String, Path, description = "Names it", format = "uuid")),
    responses((status = 204, description = "It is gone"))
)]
async fn discard_dead_letter(
    State(desk): State<Desk>,
    caller: Caller,
    Id(id): Id<DeadLetterId>,
) -> Result<StatusCode, Problem> {
    let gone = desk.dead_letters.discard(&caller.actor(), id).await.map_err(DbErr::into_problem)?;
    if gone { Ok(StatusCode::NO_CONTENT) } else { Err(no_letter()) }
}

/// Every scheduled job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Jobs {
    /// By name.
    items: Vec<JobStatus>,
}

/// List scheduled jobs
///
/// When each ran, how it went, and when it is due.
#[utoipa::path(get, path = "/jobs", responses((status = 200, description = "Every job", body = Jobs)))]
async fn list_jobs(State(desk): State<Desk>) -> Result<Json<Jobs>, Problem> {
    let items = job::status(&desk.db).await.map_err(DbErr::into_problem)?;
    Ok(Json(Jobs { items }))
}

/// How a mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(MailStatus);

impl Text for Status {
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "string", "enum": MailStatus::ALL.map(MailStatus::name)})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        MailStatus::named(text)
            .map(Self)
            .ok_or_else(|| Invalid::new("unknown_status", "must be one of queued, sent, failed"))
    }
}

mainstay_core::input! {
    /// Which mails to list.
    pub struct ListMails {
        /// Paging.
        paging: Paging<MailOrder>,
        /// Only those to this address, whatever its case.
        address: Option<FilterText>,
        /// Only those of this template: `identity.verify_email`.
        template: Option<FilterText>,
        /// Only those that stand like this.
        status: Option<Status>,
    }
}

/// A mail, without what it says.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Mail)]
pub(crate) struct MailView {
    #[schema(inline)]
    id: MailId,
    /// Who it is for.
    address: String,
    /// Their name; `null` if it is not known.
    name: Option<String>,
    /// What kind of mail it is.
    template: String,
    /// Its subject.
    subject: String,
    /// `queued`, `sent` or `failed`.
    #[schema(pattern = "^(queued|sent|failed)$")]
    status: &'static str,
    /// Whether it holds a secret link.
    confidential: bool,
    /// How many attempts began.
    #[schema(minimum = 0)]
    attempts: i64,
    /// Why the last attempt failed; `null` if it did not.
    last_error: Option<String>,
    /// When it was queued.
    created_at: Timestamp,
    /// When it was sent; `null` until then.
    sent_at: Option<Timestamp>,
}

impl From<Mail> for MailView {
    fn from(mail: Mail) -> Self {
        Self {
            id: mail.id,
            address: mail.recipient.address,
            name: mail.recipient.name,
            template: mail.template,
            subject: mail.subject,
            status: mail.status.name(),
            confidential: mail.confidential,
            attempts: mail.attempts,
            last_error: mail.last_error,
            created_at: mail.created_at,
            sent_at: mail.sent_at,
        }
    }
}

/// A mail with what it says.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailWithContent)]
pub(crate) struct FullMailView {
    #[serde(flatten)]
    mail: MailView,
    /// Its plain text. `null` once an SMTP server took the mail, and in production for a mail with a
    /// secret link unless an administrator asks.
    text: Option<String>,
    /// Its HTML; `null` with `text`.
    html: Option<String>,
}

/// List mails
///
/// What became of each, the newest first.
#[utoipa::path(get, path = "/mailbox", params(ListMails), responses(
    (status = 200, description = "A page of mails", body = Page<MailView>),
))]
async fn list_mails(
    State(desk): State<Desk>,
    caller: Caller,
    ValidQuery(query): ValidQuery<ListMails>,
) -> Result<Listing<MailView>, Problem> {
    let ListMails { paging, address, template, status } = query;
    let filter = MailFilter {
        address: address.map(FilterText::into_string),
        template: template.map(FilterText::into_string),
        status: status.map(|status| status.0),
    };
    let page = desk.mails.list(&caller.actor(), &paging, &filter).await?;
    Ok(Listing { page: page.map(MailView::from), cache: None })
}

/// Read a mail
///
/// Without an SMTP server its text is here, so that every link works on a laptop.
#[utoipa::path(get, path = "/mailbox/{id}",
    params(("id" = String, Path, description = "Names it", format = "uuid")),
    responses((status = 200, description = "The mail", body = FullMailView))
)]
async fn get_mail(
    State(desk): State<Desk>,
    caller: Caller,
    Id(id): Id<MailId>,
) -> Result<Json<FullMailView>, Problem> {
    let found = desk.mails.find(id).await.map_err(DbErr::into_problem)?;
    let StoredMail { mail, content } = found.ok_or_else(|| MAIL_NOT_FOUND.because("No mail has this id."))?;
    // A link that resets an administrator's password would make its reader one.
    // An API key never sees one: by it, it would outgrow itself.
    let user = caller.user().filter(|user| user.session_id().is_some());
    let may = user.is_some_and(|user| desk.on_a_laptop || user.roles.grants(Role::Admin));
    let shown = content.filter(|_| !mail.confidential || may);
    let (text, html) = shown.map(|Content { text, html }| (text, html)).unzip();
    Ok(Json(FullMailView { mail: mail.into(), text, html }))
}
