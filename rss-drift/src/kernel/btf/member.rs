//! Members of structs by name, through the anonymous structs and unions that C looks through too.

use std::iter;

use super::{BtfError, Kind, Shape, Type};

/// Anonymous structs within anonymous structs that are descended; kernels have up to about 5.
const MAX_DEPTH: usize = 16;

/// Members looked at for one name; `task_struct` has some 300. What needs more is made to be slow.
const MAX_VISITS: u32 = 65_536;

/// Where a member is and what it is.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Bytes from the start of the struct that was asked.
    pub offset: u32,
    /// Its type, typedefs and qualifiers included.
    pub of: Type<'a>,
}

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

impl Member<'_> {
    /// Whether two members are at the same place and, by all that is ever asked of them, of the same type.
    fn same(self, other: Member<'_>) -> Result<bool, BtfError> {
        Ok(self.offset == other.offset
            && self.of.size()? == other.of.size()?
            && self.of.describe() == other.of.describe())
    }
}

/// Follows the dotted `path` from `structure`, which messages call `name`; `None` where a member does not exist.
pub(super) fn find<'a>(structure: Type<'a>, name: &str, path: &str) -> Result<Option<Member<'a>>, BtfError> {
    let mut found = Member { offset: 0, of: structure };
    for part in path.split('.') {
        let within = found.of.stripped()?;
        if !matches!(within.kind(), Kind::Struct | Kind::Union) {
            return Err(BtfError::Unexpected {
                what: format!("what holds {part} in {name}.{path}"),
                expected: "a struct or a union".to_owned(),
                found: within.describe(),
            });
        }
        let mut search = Search { wanted: part, whole: (name, path), visits: 0, found: None };
        search.level(within, u64::from(found.offset), 0)?;
        let Some(next) = search.found else { return Ok(None) };
        found = next;
    }
    Ok(Some(found))
}

/// The search for one name in one struct.
struct Search<'a, 'n> {
    wanted: &'n str,
    /// Struct and path that were asked, for messages.
    whole: (&'n str, &'n str),
    visits: u32,
    found: Option<Member<'a>>,
}

impl<'a> Search<'a, '_> {
    fn level(&mut self, within: Type<'a>, base: u64, depth: usize) -> Result<(), BtfError> {
        let btf = within.btf();
        if depth > MAX_DEPTH {
            return Err(self.corrupt("is nested in too many anonymous structs"));
        }
        for member in within.members() {
            self.visits += 1;
            if self.visits > MAX_VISITS {
                return Err(self.corrupt("is searched for among too many members"));
            }
            let wanted = btf.string_is(member.name, self.wanted);
            if !wanted && !btf.string_is(member.name, "") {
                continue;
            }
            let of = btf.type_by_id(member.type_id)?;
            let plain = of.stripped()?;
            if !wanted && !matches!(plain.kind(), Kind::Struct | Kind::Union) {
                // Bits that nobody can name.
                continue;
            }
            let bitfield = member.bitfield != 0
                || member.bit_offset % 8 != 0
                || plain.int().is_some_and(|int| !int.whole);
            if bitfield {
                return Err(BtfError::Bitfield(self.name()));
            }
            let offset = base + u64::from(member.bit_offset / 8);
            let end = offset.checked_add(of.size()?.unwrap_or(0));
            if end.is_none_or(|end| end > base + u64::from(within.size_or_type())) {
                return Err(self.corrupt("ends beyond its struct"));
            }
            if !wanted {
                self.level(plain, offset, depth + 1)?;
                continue;
            }
            let offset = u32::try_from(offset).map_err(|_| self.corrupt("is beyond 4 GiB"))?;
            if self.found.replace(Member { offset, of }).is_some() {
                return Err(BtfError::Ambiguous(self.name()));
            }
        }
        Ok(())
    }

    fn name(&self) -> String {
        format!("{}.{}", self.whole.0, self.whole.1)
    }

    fn corrupt(&self, how: &str) -> BtfError {
        BtfError::Corrupt(format!("{} {how}", self.name()))
    }
}
