//! Who belongs to an organization or a website.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use mainstay_auth::Access;
use mainstay_core::input::Text as _;
use mainstay_core::{Problem, UserId};
use mainstay_http::{ApiRouter, Id};
use mainstay_web::{Field, Flash, Form, Pager, Shape, Submitted, Tone, Visit, moment};

use super::list::ORGANIZATIONS;
use super::place::{Frame, Part, Room};
use super::{PAGE, Pages, ROLES, explain, is_stale, role_class, role_text};
use crate::domain::role::MemberRole;
use crate::http::{Within, who};
use crate::service::{Deed, MemberView, Tenancy, Who, called};

pub(super) fn routes<R: Room>(router: ApiRouter<Pages>) -> ApiRouter<Pages> {
    let paths = R::PATHS;
    let to_member = async |Within(id, user): Within<R, UserId>, visit: Visit| {
        visit.redirect(&member_path(id, user), None)
    };
    router
        .console_page(paths.members, get(list::<R>), Access::Session)
        .console_page(paths.member, get(show::<R>).post(change::<R>), Access::Session)
        .console_page(paths.remove, get(to_member).post(remove::<R>), Access::Session)
        .console_page(paths.leave, get(ask_leave::<R>).post(leave::<R>), Access::Session)
}

fn member_path<R: Room>(id: R, user: UserId) -> String {
    format!("{}/members/{user}", id.path())
}

pub(super) fn leave_form<R: Room>(visit: &Visit, id: R) -> Form {
    let button = if R::NOUN == "website" { "Leave the website" } else { "Leave the organization" };
    visit.form("leave", format!("{}/leave", id.path()), button).tone(Tone::Danger)
}

/// A member as a page shows them.
struct Person {
    name: String,
    /// Their address and the name that their account goes by. `None` if the account is gone.
    account: Option<(String, String)>,
    role: MemberRole,
    since: String,
    path: String,
    is_self: bool,
}

impl Person {
    fn new<R: Room>(id: R, who: &Who, view: MemberView) -> Self {
        let MemberView { member, person } = view;
        let account = person.as_ref().map(|person| (person.email.clone(), person.username.clone()));
        Self {
            name: person.map_or_else(|| "A removed account".to_owned(), called),
            account,
            role: member.role,
            since: moment(member.joined_at),
            path: member_path(id, member.user_id),
            is_self: member.user_id == who.asker.user_id,
        }
    }

    fn role_text(&self) -> &'static str {
        role_text(Some(self.role))
    }

    fn role_class(&self) -> &'static str {
        role_class(Some(self.role))
    }
}

#[derive(Template)]
#[template(path = "members.html")]
struct Content {
    frame: Frame,
    noun: &'static str,
    members: Vec<Person>,
    pager: Pager,
    may_change: bool,
    may_invite: bool,
    may_leave: bool,
}

async fn list<R: Room>(
    State(tenancy): State<Tenancy>,
    Id(id): Id<R>,
    visit: Visit,
) -> Result<Response, Problem> {
    let who = who(visit.caller())?;
    let frame = id.frame(&tenancy, &who, Part::Members).await?;
    let page = tenancy.list_members(&who, id, None, &visit.paging(PAGE)).await?;
    let allow = |deed| frame.rights.allow(R::action(deed));
    let content = Content {
        pager: Pager::of(format!("{}/members", id.path()), &page),
        members: page.items.into_iter().map(|view| Person::new(id, &who, view)).collect(),
        noun: R::NOUN,
        may_change: allow(Deed::ChangeMember),
        may_invite: allow(Deed::Invite),
        may_leave: frame.rights.allow_by_membership(R::action(Deed::Leave)),
        frame,
    };
    Ok(visit.show(StatusCode::OK, &format!("Members of {}", content.frame.name), Shape::Wide, &content))
}

#[derive(Template)]
#[template(path = "member.html")]
struct One {
    frame: Frame,
    noun: &'static str,
    person: Person,
    change: Form,
    remove: Form,
}

fn change_form(visit: &Visit, person: &Person, chosen: &str) -> Form {
    visit
        .form("role", person.path.clone(), "Save")
        .hidden("seen", person.role.name())
        .field(Field::choice("role", "Role", &ROLES).value(chosen))
}

fn remove_form(visit: &Visit, person: &Person) -> Form {
    visit.form("remove", format!("{}/remove", person.path), "Remove").tone(Tone::Danger).about(&*person.name)
}

/// The forms that were sent already, in the place of new ones.
#[derive(Default)]
struct Sent {
    change: Option<Form>,
    remove: Option<Form>,
    status: StatusCode,
}

async fn page<R: Room>(
    tenancy: &Tenancy,
    visit: &Visit,
    id: R,
    person: Person,
    sent: Sent,
) -> Result<Response, Problem> {
    let frame = id.frame(tenancy, &who(visit.caller())?, Part::Members).await?;
    let change = sent.change.unwrap_or_else(|| change_form(visit, &person, person.role.name()));
    let remove = sent.remove.unwrap_or_else(|| remove_form(visit, &person));
    let title = person.name.clone();
    let content = One { frame, noun: R::NOUN, person, change, remove };
    Ok(visit.show(sent.status, &title, Shape::Wide, &content))
}

async fn show<R: Room>(
    State(tenancy): State<Tenancy>,
    Within(id, user): Within<R, UserId>,
    visit: Visit,
) -> Result<Response, Problem> {
    let who = who(visit.caller())?;
    let person = Person::new(id, &who, tenancy.get_member(&who, id, user).await?);
    page(&tenancy, &visit, id, person, Sent::default()).await
}

async fn change<R: Room>(
    State(tenancy): State<Tenancy>,
    Within(id, user): Within<R, UserId>,
    sent: Submitted,
) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let who = who(visit.caller())?;
    let person = Person::new(id, &who, tenancy.get_member(&who, id, user).await?);
    let mut form = change_form(visit, &person, sent.get("role"));
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some(role) = form.judge("role", MemberRole::parse(sent.get("role"))) {
        let seen = MemberRole::from_name(sent.get("seen"));
        match tenancy.change_member(&who, id, user, role, Some(seen)).await {
            Ok(_) => {
                let text = format!("{} is {} now.", person.name, in_words(role));
                // Who gave up their own rights can't open this page any more.
                let to = if person.is_self { format!("{}/members", id.path()) } else { person.path };
                return Ok(visit.redirect(&to, Some(Flash::done(text))));
            }
            Err(error) if is_stale(&error) => {
                let person = Person::new(id, &who, tenancy.get_member(&who, id, user).await?);
                let mut form = change_form(visit, &person, sent.get("role"));
                let now = in_words(person.role);
                form.fail(format!(
                    "Somebody else made them {now} in the meantime. Save again to change that."
                ));
                let sent = Sent { change: Some(form), status: StatusCode::CONFLICT, ..Sent::default() };
                return page(&tenancy, visit, id, person, sent).await;
            }
            Err(error) => status = explain(&mut form, error)?,
        }
    }
    page(&tenancy, visit, id, person, Sent { change: Some(form), status, ..Sent::default() }).await
}

fn in_words(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Admin => "an admin",
        MemberRole::User => "a user",
    }
}

async fn remove<R: Room>(
    State(tenancy): State<Tenancy>,
    Within(id, user): Within<R, UserId>,
    sent: Submitted,
) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let who = who(visit.caller())?;
    let person = Person::new(id, &who, tenancy.get_member(&who, id, user).await?);
    match tenancy.remove_member(&who, id, user).await {
        Ok(()) if person.is_self => Ok(gone(visit, R::NOUN)),
        Ok(()) => {
            let text = format!("{} does not belong to the {} any more.", person.name, R::NOUN);
            Ok(visit.redirect(&format!("{}/members", id.path()), Some(Flash::done(text))))
        }
        Err(error) => {
            let mut form = remove_form(visit, &person);
            let status = explain(&mut form, error)?;
            let sent = Sent { remove: Some(form), status, ..Sent::default() };
            page(&tenancy, visit, id, person, sent).await
        }
    }
}

#[derive(Template)]
#[template(path = "leave.html")]
struct Leave {
    frame: Frame,
    noun: &'static str,
    form: Form,
}

async fn ask_leave<R: Room>(
    State(tenancy): State<Tenancy>,
    Id(id): Id<R>,
    visit: Visit,
) -> Result<Response, Problem> {
    let form = leave_form(&visit, id);
    leave_page(&tenancy, &visit, id, form, StatusCode::OK).await
}

async fn leave_page<R: Room>(
    tenancy: &Tenancy,
    visit: &Visit,
    id: R,
    form: Form,
    status: StatusCode,
) -> Result<Response, Problem> {
    let frame = id.frame(tenancy, &who(visit.caller())?, Part::Members).await?;
    let title = format!("Leave {}", frame.name);
    Ok(visit.show(status, &title, Shape::Narrow, &Leave { frame, noun: R::NOUN, form }))
}

async fn leave<R: Room>(
    State(tenancy): State<Tenancy>,
    Id(id): Id<R>,
    sent: Submitted,
) -> Result<Response, Problem> {
    let visit = &sent.visit;
    match tenancy.leave(&who(visit.caller())?, id).await {
        Ok(()) => Ok(gone(visit, R::NOUN)),
        Err(error) => {
            let mut form = leave_form(visit, id);
            let status = explain(&mut form, error)?;
            leave_page(&tenancy, visit, id, form, status).await
        }
    }
}

fn gone(visit: &Visit, noun: &str) -> Response {
    visit.redirect(ORGANIZATIONS, Some(Flash::done(format!("You have left the {noun}."))))
}
