//! Structs by name: where a member is, and whether it is what it is expected to be.

use std::iter;

use super::{
    BtfError, Shape, Type,
    member::{Member, find},
};

/// All definitions of one struct's name. Whatever is asked, they have to agree on: which one holds cannot be known.
#[derive(Clone, Debug)]
pub struct Structure<'a> {
    name: &'a str,
    /// At least one.
    definitions: Vec<Type<'a>>,
}

impl<'a> Structure<'a> {
    pub(super) fn new(name: &'a str, definitions: Vec<Type<'a>>) -> Result<Self, BtfError> {
        if definitions.is_empty() {
            return Err(BtfError::NoStruct(name.to_owned()));
        }
        Ok(Self { name, definitions })
    }

    /// Number of its first definition. (All definitions agree on each member that is asked for.)
    #[must_use]
    pub fn id(&self) -> u32 {
        self.definitions.first().map_or(0, Type::id)
    }

    /// Bytes of the struct.
    ///
    /// # Errors
    /// When the definitions disagree on it.
    pub fn size(&self) -> Result<u32, BtfError> {
        let mut sizes = self.definitions.iter().map(Type::size_or_type);
        let first = sizes.next().unwrap_or(0);
        if sizes.any(|size| size != first) {
            return Err(BtfError::Ambiguous(format!("size of struct {}", self.name)));
        }
        Ok(first)
    }

    /// A member by its dotted path, through anonymous structs and unions; `None` where there is none.
    ///
    /// # Errors
    /// When the definitions disagree on the member, or it is a bitfield.
    pub fn find(&self, path: &str) -> Result<Option<Member<'a>>, BtfError> {
        let mut found = self.definitions.iter().map(|&definition| find(definition, self.name, path));
        let first = found.next().transpose()?.flatten();
        for other in found {
            let same = match (first, other?) {
                (Some(one), Some(other)) => one.same(other)?,
                (None, None) => true,
                _ => false,
            };
            if !same {
                return Err(BtfError::Ambiguous(format!("{}.{path}", self.name)));
            }
        }
        Ok(first)
    }

    /// Like [`Structure::find`], for a member that has to be there and to have this shape.
    ///
    /// # Errors
    /// As [`Structure::find`], and when the member is missing or something else: both types are named.
    pub fn member(&self, path: &str, shape: &Shape<'_>) -> Result<Member<'a>, BtfError> {
        let name = || format!("{}.{path}", self.name);
        let member = self.find(path)?.ok_or_else(|| BtfError::NoMember(name()))?;
        let others = self.definitions.iter().skip(1).map(|&definition| find(definition, self.name, path));
        for found in iter::once(Ok(Some(member))).chain(others) {
            let of = found?.map_or(member.of, |found| found.of);
            if !shape.fits(of)? {
                let (expected, found) = (shape.to_string(), of.describe());
                return Err(BtfError::Unexpected { what: name(), expected, found });
            }
        }
        Ok(member)
    }

    /// Bytes from the start of the struct to a member of this shape.
    ///
    /// # Errors
    /// As [`Structure::member`].
    pub fn offset_of(&self, path: &str, shape: &Shape<'_>) -> Result<u32, BtfError> {
        self.member(path, shape).map(|member| member.offset)
    }
}
