//! Organizations to look around in: for the accounts that identity's demo data has.

use mainstay_app::{Email, People as _, Person};
use mainstay_core::{Actor, Invalid};
use mainstay_db::WriteUnit;

use crate::domain::OrganizationId;
use crate::domain::invitation::NewInvitation;
use crate::domain::organization::Name;
use crate::domain::role::MemberRole;
use crate::domain::website::{Description, NewWebsite, WebsiteUrl};
use crate::repo::access::{Asker, OwnAccess};
use crate::repo::organizations;
use crate::service::{Tenancy, Who};

const GUEST: &str = "guest@example.com";

pub(crate) async fn seed(tenancy: &Tenancy) -> anyhow::Result<Vec<String>> {
    let (admin, staff, user) = (
        person(tenancy, "admin@example.com").await?,
        person(tenancy, "staff@example.com").await?,
        person(tenancy, "user@example.com").await?,
    );
    let (Some(admin), Some(staff), Some(user)) = (admin, staff, user) else { return Ok(Vec::new()) };

    let harbor = organization(tenancy, &staff, "Harbor Works").await?;
    let orchard = organization(tenancy, &user, "Orchard & Sons").await?;
    if let Some(id) = harbor {
        join(tenancy, &staff, id, &admin, MemberRole::Admin).await?;
        join(tenancy, &staff, id, &user, MemberRole::User).await?;
        let sites = [
            (
                "Ferry times",
                "https://ferries.example.com/",
                "Departures and arrivals of the harbor's ferries.",
            ),
            ("Berth booking", "https://berths.example.com/", "Where boats reserve a place for the night."),
        ];
        for (name, url, about) in sites {
            website(tenancy, &staff, id, name, url, about).await?;
        }
        let new = NewInvitation { email: Email::parse(GUEST).map_err(told)?, role: MemberRole::User };
        let who = acting(&staff);
        let unit = tenancy.db.write(&who.actor).await?;
        tenancy.invite(&unit, &who, id, new).await?;
        unit.commit().await?;
    }
    if let Some(id) = orchard {
        join(tenancy, &user, id, &staff, MemberRole::User).await?;
        website(tenancy, &user, id, "Cider shop", "https://cider.example.com/", "Bottles, boxes and gifts.")
            .await?;
    }
    if harbor.is_none() && orchard.is_none() {
        return Ok(Vec::new());
    }
    Ok(vec![format!("Two organizations with websites, and an invitation of {GUEST} that is pending")])
}

fn told(invalid: Invalid) -> anyhow::Error {
    anyhow::Error::msg(invalid.message)
}

async fn person(tenancy: &Tenancy, email: &str) -> anyhow::Result<Option<Person>> {
    Ok(tenancy.people.find_by_email(None, &Email::parse(email).map_err(told)?).await?)
}

fn acting(person: &Person) -> Who {
    let asker = Asker { user_id: person.id, is_system_admin: false };
    Who { actor: Actor::system("organizations demo"), asker }
}

/// `None` if it is there already.
async fn organization(
    tenancy: &Tenancy,
    founder: &Person,
    name: &str,
) -> anyhow::Result<Option<OrganizationId>> {
    let own = OwnAccess::of(founder.id);
    if organizations::was_founded(tenancy.db.primary(), own, name).await? {
        return Ok(None);
    }
    let unit = tenancy.db.write(&acting(founder).actor).await?;
    let made = tenancy.found(&unit, founder.id, name).await?;
    unit.commit().await?;
    Ok(Some(made.id))
}

/// As somebody joins in life: invited, and accepting.
async fn join(
    tenancy: &Tenancy,
    founder: &Person,
    id: OrganizationId,
    guest: &Person,
    role: MemberRole,
) -> anyhow::Result<()> {
    let who = acting(founder);
    let new = NewInvitation { email: Email::parse(&guest.email).map_err(told)?, role };
    let unit: WriteUnit = tenancy.db.write(&who.actor).await?;
    let made = tenancy.invite(&unit, &who, id, new).await?;
    unit.commit().await?;
    tenancy.accept(&acting(guest), &made.token).await?;
    Ok(())
}

async fn website(
    tenancy: &Tenancy,
    founder: &Person,
    id: OrganizationId,
    name: &str,
    url: &str,
    about: &str,
) -> anyhow::Result<()> {
    let new = NewWebsite {
        name: Name::parse(name).map_err(told)?,
        url: WebsiteUrl::parse(url).map_err(told)?,
        description: Some(Description::parse(about).map_err(told)?),
    };
    tenancy.create_website(&acting(founder), id, new).await?;
    Ok(())
}
