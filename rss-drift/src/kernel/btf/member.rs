//! Members of structs by name, through the anonymous structs and unions that C looks through too.

use super::{BtfError, Kind, Type};

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

impl Member<'_> {
    /// Whether two members are at the same place and, by all that is ever asked of them, of the same type.
    pub(super) fn same(self, other: Member<'_>) -> Result<bool, BtfError> {
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
