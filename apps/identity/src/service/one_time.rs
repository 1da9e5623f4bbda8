//! One-time tokens: links in mails, and the first administrator's.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay_core::Timestamp;
use mainstay_db::WriteUnit;
use sea_orm::DbErr;
use uuid::Uuid;

use super::{Accounts, token_hash};
use crate::domain::Purpose;
use crate::repo::{self, TokenFor};

/// How long a token may wait until its mail was handed over, on top of its life.
const IN_THE_MAIL: Duration = Duration::from_secs(48 * 3600);

impl Accounts {
    /// 192 random bits as text.
    pub(crate) fn random_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.rng.bytes::<24>())
    }

    /// How long a token of this purpose lives, from the moment its mail was handed over.
    pub(crate) fn life_of(&self, purpose: Purpose) -> Duration {
        match purpose {
            Purpose::Setup => Duration::from_secs(30 * 60),
            Purpose::VerifyEmail => Duration::from_secs(24 * 3600),
            Purpose::ResetPassword => Duration::from_secs(self.settings.reset_token_s),
            Purpose::Register => Duration::from_secs(7 * 24 * 3600),
        }
    }

    /// A new token; older ones of its purpose for the same holder end. Gives its id, and the
    /// token itself, which is kept nowhere.
    pub(crate) async fn issue(
        &self,
        unit: &WriteUnit,
        purpose: Purpose,
        holder: TokenFor,
    ) -> Result<(Uuid, String), DbErr> {
        let now = self.clock.now();
        let token = self.random_text();
        let id: Uuid = self.ids.make();
        let life = match purpose {
            Purpose::Setup => self.life_of(purpose),
            _ => self.life_of(purpose) + IN_THE_MAIL,
        };
        repo::end_one_time_tokens(unit, purpose, &holder, now).await?;
        let row = repo::one_time_row(id, purpose, &holder, token_hash(&token), now, now.after(life));
        repo::insert_one_time_token(unit, row).await?;
        Ok((id, token))
    }

    /// Starts the life of a token whose mail was handed over at `sent_at`.
    pub(crate) async fn start_life(
        &self,
        unit: &WriteUnit,
        id: Uuid,
        sent_at: Timestamp,
    ) -> Result<(), DbErr> {
        let purpose = repo::purpose_of(unit, id).await?;
        let mailed = [Purpose::VerifyEmail, Purpose::ResetPassword, Purpose::Register];
        match mailed.into_iter().find(|known| purpose.as_deref() == Some(known.name())) {
            Some(purpose) => repo::expire_at(unit, id, sent_at.after(self.life_of(purpose))).await,
            None => Ok(()),
        }
    }
}
