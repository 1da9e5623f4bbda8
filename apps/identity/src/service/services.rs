//! Credentials of other programs: made, listed, revoked and checked.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use mainstay_app::Platform;
use mainstay_auth::AuthError;
use mainstay_core::{Actor, AuditEntry, Clock, Ids, Page, Paging, Problem, Rng, ServiceId, Sorting};
use mainstay_db::{Db, WriteUnit};
use sea_orm::DbErr;

use super::token_hash;
use crate::believed::Believed;
use crate::domain::{CredentialName, Secret, Service, is_client_id, new_client_id};
use crate::error::AccountError;
use crate::mint::Mint;
use crate::repo::{self, LiveService, ServiceName};

/// The service of other programs' credentials. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Services(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    mint: Mint,
    ids: Ids,
    /// By the client id.
    seen: Believed<String, Option<LiveService>>,
}

/// A service just made; the secret is never seen again.
#[derive(Clone, Debug)]
pub(crate) struct MadeService {
    pub(crate) service: Service,
    pub(crate) secret: Secret,
}

impl Services {
    pub(crate) fn new(platform: &Platform) -> Self {
        Self(Arc::new(Inner {
            db: platform.db.clone(),
            clock: platform.clock.clone(),
            rng: platform.rng.clone(),
            mint: Mint::new(&platform.root_key),
            ids: platform.ids.clone(),
            seen: Believed::new(),
        }))
    }

    /// A change, for whoever has to commit it themselves.
    pub(crate) async fn begin(&self, actor: &Actor) -> Result<WriteUnit, DbErr> {
        self.0.db.write(actor).await
    }

    /// Makes a service within `unit`, which the caller commits.
    pub(crate) async fn create(
        &self,
        unit: &WriteUnit,
        name: CredentialName,
    ) -> Result<MadeService, AccountError> {
        let inner = &*self.0;
        let service = Service {
            id: inner.ids.make(),
            name: name.into_string(),
            client_id: new_client_id(&*inner.rng),
            created_at: inner.clock.now(),
        };
        let secret = inner.mint.service(&service.client_id, &*inner.rng);
        repo::insert_service(unit, &service, token_hash(secret.expose())).await?;
        unit.audit(
            AuditEntry::new("service.created", format!("service/{}", service.id))
                .set("name", &service.name)
                .set("client_id", &service.client_id),
        );
        Ok(MadeService { service, secret })
    }

    pub(crate) async fn list<S: Sorting>(
        &self,
        actor: &Actor,
        paging: &Paging<S>,
    ) -> Result<Page<Service>, Problem> {
        repo::list_services(self.0.db.read(actor), paging).await
    }

    /// All of them, oldest first.
    pub(crate) async fn all(&self) -> Result<Vec<Service>, AccountError> {
        Ok(repo::all_services(self.0.db.primary()).await?)
    }

    /// Revokes a service's credential: it opens nothing here from then on, nor elsewhere within a second.
    pub(crate) async fn revoke(&self, actor: &Actor, name: &ServiceName) -> Result<Service, AccountError> {
        let inner = &*self.0;
        let unit = inner.db.write(actor).await?;
        let found = repo::find_service(&unit, name).await?.ok_or(AccountError::ServiceNotFound)?;
        // Of two at once, one ends it.
        if !repo::revoke_service(&unit, found.id, inner.clock.now()).await? {
            return Err(AccountError::ServiceNotFound);
        }
        unit.audit(
            AuditEntry::new("service.revoked", format!("service/{}", found.id))
                .note("name", &found.name)
                .note("client_id", &found.client_id),
        );
        unit.commit().await?;
        inner.seen.forget(&found.client_id);
        Ok(found)
    }

    /// Which service this is. An unknown id takes the same way as a wrong secret.
    pub(crate) async fn authenticate(&self, client_id: &str, secret: &str) -> Result<ServiceId, AuthError> {
        // As long as a hash in base64, and none.
        const NOBODYS: &str = "-------------------------------------------";
        let given = token_hash(secret);
        let found = if is_client_id(client_id) { self.find(client_id).await? } else { None };
        let held = found.as_ref().map_or(NOBODYS, |found| &found.secret_hash);
        let right = verify_slices_are_equal(given.as_bytes(), held.as_bytes()).is_ok();
        found.filter(|_| right).map(|found| found.id).ok_or(AuthError::Refused)
    }

    async fn find(&self, client_id: &str) -> Result<Option<LiveService>, AuthError> {
        let (inner, key) = (&*self.0, client_id.to_owned());
        if let Some(found) = inner.seen.get(&key) {
            return Ok(found);
        }
        let asked = inner.seen.ask();
        let found = repo::find_live_service(&inner.db, client_id).await;
        let found = found.map_err(|error| AuthError::Unavailable(error.into()))?;
        inner.seen.keep(asked, key, found.clone());
        Ok(found)
    }
}
