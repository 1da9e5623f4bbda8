use std::collections::{HashMap, HashSet};
use std::fmt;

use mainstay_core::Timestamp;
use mainstay_core::seal::RootKey;
use mainstay_db::Db;
use sea_orm::{
    ColumnTrait as _, DbErr, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use super::seal::unsealed;
use super::{Chain, ORIGIN};
use crate::entity::{audit_anchor, audit_entry, audit_seal};

/// Something that is not as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The entry, or its place in the order, is not what was sealed at this position.
    Changed {
        /// Its place in the chain.
        position: i64,
        /// Its number in the log.
        seq: i64,
    },
    /// The entry that was sealed at this position is gone.
    Missing {
        /// Its place in the chain.
        position: i64,
        /// Its number in the log.
        seq: i64,
    },
    /// The seals from one position up to another are gone.
    Gap {
        /// The first that is gone.
        from: i64,
        /// The last that is gone.
        to: i64,
    },
    /// The chain ended further on when it was last sealed, or its end was forged.
    Cut {
        /// Where it ends now; 0 if there is nothing.
        ends_at: i64,
        /// Where it ended, as the anchor says. `None` if the anchor is gone.
        ended_at: Option<i64>,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { position, seq } => {
                write!(
                    f,
                    "position {position}: entry {seq} was changed, or stands in another place than it was sealed in"
                )
            }
            Self::Missing { position, seq } => write!(f, "position {position}: entry {seq} is missing"),
            Self::Gap { from, to } if from == to => write!(f, "position {from}: the seal is missing"),
            Self::Gap { from, to } => write!(f, "positions {from} to {to}: the seals are missing"),
            Self::Cut { ends_at, ended_at: Some(ended_at) } => {
                write!(
                    f,
                    "the chain ends at position {ends_at}, but was sealed up to {ended_at}, or its end was forged"
                )
            }
            Self::Cut { ends_at, ended_at: None } => {
                write!(
                    f,
                    "the chain ends at position {ends_at}, and the anchor that would confirm it is missing"
                )
            }
        }
    }
}

/// What a check of the whole log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Entries that are as they were sealed.
    pub good: u64,
    /// Among them, those whose changes were erased.
    pub erased: u64,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// The newest seal, to be written down elsewhere: its position and its hash.
    pub head: Option<(i64, String)>,
    /// Entries that no seal names yet.
    pub unsealed: u64,
    /// The first of them: its number and when it was written.
    pub first_unsealed: Option<(i64, Timestamp)>,
}

/// Checks the whole log against its chain. `progress` is told how many were checked so far.
///
/// # Errors
/// If the database fails.
pub(super) async fn verify(db: &Db, root_key: &RootKey, progress: impl Fn(u64)) -> Result<Verdict, DbErr> {
    const PORTION: u64 = 1000;
    let chain = Chain::new(&root_key.derive("audit chain"));
    let mut verdict = Verdict::default();
    // Erased entries are good if what they are about was deleted, on record, too.
    let (mut erased, mut deleted) = (Vec::new(), HashSet::new());
    let (mut position, mut hash) = (0, ORIGIN.to_owned());
    loop {
        let seals = audit_seal::Entity::find()
            .filter(audit_seal::Column::Position.gt(position))
            .order_by_asc(audit_seal::Column::Position)
            .limit(PORTION)
            .all(db.primary())
            .await?;
        if seals.is_empty() {
            let anchor = audit_anchor::Entity::find_by_id(1).one(db.primary()).await?;
            let holds = chain.ends_at(position, &hash, anchor.as_ref());
            // Sealing goes on meanwhile: what was sealed since the last look is there now.
            let goes_on = audit_seal::Entity::find()
                .filter(audit_seal::Column::Position.gt(position))
                .limit(1)
                .one(db.primary())
                .await?;
            if !holds && goes_on.is_some() {
                continue;
            }
            if !holds {
                let ended_at = anchor.map(|anchor| anchor.position);
                verdict.faults.push(Fault::Cut { ends_at: position, ended_at });
            }
            break;
        }
        let numbers = seals.iter().map(|seal| seal.entry_seq);
        let entries = audit_entry::Entity::find()
            .filter(audit_entry::Column::Seq.is_in(numbers))
            .all(db.primary())
            .await?;
        let entries: HashMap<i64, audit_entry::Model> =
            entries.into_iter().map(|entry| (entry.seq, entry)).collect();
        for seal in seals {
            if seal.position != position + 1 {
                verdict.faults.push(Fault::Gap { from: position + 1, to: seal.position - 1 });
            }
            let seq = seal.entry_seq;
            match entries.get(&seq) {
                None => verdict.faults.push(Fault::Missing { position: seal.position, seq }),
                // After a gap the seal before is not known, so neither is what this one must be.
                Some(_) if seal.position != position + 1 => {}
                Some(entry) if chain.holds(&hash, &seal, entry) => {
                    verdict.good += 1;
                    if entry.changes.is_none() && seal.changes_digest.is_some() {
                        erased.push((entry.target.clone(), seal.position, seq));
                    }
                    if entry.action.ends_with(".deleted") {
                        deleted.insert(entry.target.clone());
                    }
                }
                Some(_) => verdict.faults.push(Fault::Changed { position: seal.position, seq }),
            }
            (position, hash) = (seal.position, seal.hash);
        }
        progress(u64::try_from(position).unwrap_or(0));
    }
    // A removal of a moment ago may not be sealed yet.
    let removals = unsealed(0).filter(audit_entry::Column::Action.ends_with(".deleted"));
    deleted.extend(removals.all(db.primary()).await?.into_iter().map(|entry| entry.target));
    for (target, position, seq) in erased {
        if deleted.contains(&target) {
            verdict.erased += 1;
        } else {
            verdict.good -= 1;
            verdict.faults.push(Fault::Changed { position, seq });
        }
    }
    verdict.head = (position > 0).then_some((position, hash));
    verdict.unsealed = unsealed(0).count(db.primary()).await?;
    verdict.first_unsealed =
        unsealed(0).one(db.primary()).await?.map(|entry| (entry.seq, Timestamp::from_millis(entry.at)));
    Ok(verdict)
}
