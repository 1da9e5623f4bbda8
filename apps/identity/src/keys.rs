//! The keys that sign access tokens: in the database, sealed under `secret_key`.

use std::sync::Arc;

use anyhow::Context as _;
use mainstay_app::Platform;
use mainstay_auth::SigningKey;
use mainstay_core::seal::Sealer;
use mainstay_core::{Actor, Clock, Rng};
use mainstay_db::{Db, UnitWork};
use sea_orm::DbErr;

use crate::entity::signing_key;
use crate::repo;

#[derive(Clone, Debug)]
pub(crate) struct KeyStore {
    db: Db,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    sealer: Sealer,
}

impl KeyStore {
    pub(crate) fn new(platform: &Platform) -> Self {
        Self {
            db: platform.db.clone(),
            clock: platform.clock.clone(),
            rng: platform.rng.clone(),
            sealer: platform.root_key.sealer("signing keys", platform.rng.clone()),
        }
    }

    /// Every key that counts, the one to sign with first. Makes one if there is
    /// none: of several nodes that start together, one makes it.
    pub(crate) async fn load_or_make(&self) -> anyhow::Result<Vec<SigningKey>> {
        let rows: Vec<signing_key::Model> = self
            .db
            .write_retrying(&Actor::system("keys"), |unit| {
                UnitWork::new(async move {
                    let rows = repo::list_keys(unit).await?;
                    if !rows.is_empty() {
                        return Ok(rows);
                    }
                    let key = SigningKey::generate(&*self.rng);
                    let row = signing_key::Model {
                        kid: key.kid().to_owned(),
                        algorithm: "EdDSA".to_owned(),
                        sealed_key: self.sealer.seal(key.seed(), key.kid()),
                        created_at: self.clock.now().millis(),
                        retired_at: None,
                    };
                    repo::insert_key(unit, row.clone()).await?;
                    Ok::<_, DbErr>(vec![row])
                })
            })
            .await?;
        rows.iter().map(|row| self.open(row)).collect()
    }

    fn open(&self, row: &signing_key::Model) -> anyhow::Result<SigningKey> {
        let seed = self
            .sealer
            .open(&row.sealed_key, &row.kid)
            .context("a signing key can't be opened: secret_key is not the one that it was sealed with")?;
        let seed = seed.try_into().ok().context("a signing key in the database is damaged")?;
        Ok(SigningKey::from_seed(seed))
    }
}
