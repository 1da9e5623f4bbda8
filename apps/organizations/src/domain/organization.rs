//! An organization.

use mainstay_core::{Sorting, Timestamp, UserId, text};

use super::OrganizationId;
use super::role::MemberRole;

mainstay_core::text_type! {
    /// The name of an organization or a website: one line of 1 to 100 characters.
    pub struct Name(1..=100);
}

impl Name {
    /// The name of an organization whose owner gave none: after the name they go by.
    #[must_use]
    pub fn of_owner(username: &str) -> Self {
        Self::parse(&format!("{username}'s organization"))
            .unwrap_or_else(|_| Self("My organization".to_owned()))
    }
}

/// A name as lists are sorted by it: without case and accents. Bounded, because an index's entries are.
#[must_use]
pub fn folded(name: &str) -> String {
    let mut folded = text::fold(name);
    let mut end = folded.len().min(1_000);
    while !folded.is_char_boundary(end) {
        end -= 1;
    }
    folded.truncate(end);
    folded
}

mainstay_core::input! {
    /// An organization to make.
    pub struct NewOrganization {
        /// Its name: 1 to 100 characters.
        name: Name,
    }
}

mainstay_core::input! {
    /// What is to change about an organization. What is absent stays as it is.
    pub struct OrganizationPatch {
        /// Its name: 1 to 100 characters.
        name: mainstay_core::Patch<Name>,
    }
}

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Names it.
    pub id: OrganizationId,
    /// Its name.
    pub name: String,
    /// Who made it. The account may be gone since.
    pub created_by: UserId,
    /// Counts its changes, from 1: the ETag.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// An organization with what the one who asks is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing<T> {
    /// What it is about.
    pub of: T,
    /// The role. `None` for a system administrator who is no member.
    pub role: Option<MemberRole>,
}

/// The orders that organizations are listed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrganizationOrder {
    /// By name, without case and accents.
    Name,
    /// By when they were made.
    CreatedAt,
}

impl Sorting for OrganizationOrder {
    const ALL: &'static [(&'static str, Self)] = &[("name", Self::Name), ("created_at", Self::CreatedAt)];
    const DEFAULT: (Self, bool) = (Self::Name, false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_without_case_and_accents_and_fit_an_index() {
        assert_eq!(folded("Éclair Ltd"), "eclair ltd");
        assert!(folded(&"\u{FDFA}".repeat(100)).len() <= 1_000);
        assert_eq!(Name::of_owner("ada").as_str(), "ada's organization");
    }
}
