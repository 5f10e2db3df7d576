//! The sections of a BTF blob: types, strings and, where the kernel writes it, the lengths of the kinds' records.
//!
//! The format is that of `include/uapi/linux/btf.h` and `Documentation/bpf/btf.rst`, 5.10 to 7.2. The newest header
//! gives the kind 7 bits (before: 5) and the number of elements 24 (before: 16), under the same version; the bits
//! added were 0 before, so that the wide form reads both.

use super::{BtfError, Kind};

/// Bytes at the head of every type's record: name, info, size or type (`struct btf_type`).
pub(super) const HEAD: usize = 12;

/// Bytes of the header up to the string section's length: what has been there from the start.
const HEADER: usize = 24;

/// Bytes of the header with the place of the layout section (`btf_header.layout_off`, `layout_len`), which tools may
/// write since 2026; Debian's 7.2 is without.
const HEADER_WITH_LAYOUT: usize = 32;

/// Kinds that the info word has room for.
const KINDS: usize = 128;

/// Bytes that follow the head of a record.
#[derive(Clone, Copy, Debug)]
struct Trailer {
    /// Once.
    fixed: u8,
    /// For each element.
    each: u8,
}

/// What follows the head, by kind, for all kinds up to `BTF_KIND_ENUM64` (6.0).
const TRAILERS: [Trailer; 20] = {
    let mut all = [Trailer { fixed: 0, each: 0 }; 20];
    all[Kind::Int as usize].fixed = 4;
    all[Kind::Array as usize].fixed = 12;
    all[Kind::Variable as usize].fixed = 4;
    all[Kind::DeclTag as usize].fixed = 4;
    all[Kind::Struct as usize].each = 12;
    all[Kind::Union as usize].each = 12;
    all[Kind::Enum as usize].each = 8;
    all[Kind::Prototype as usize].each = 8;
    all[Kind::Section as usize].each = 12;
    all[Kind::Enum64 as usize].each = 12;
    all
};

/// The checked sections of a BTF blob.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blob<'a> {
    /// The types' records, one after the other.
    pub(super) types: &'a [u8],
    strings: &'a [u8],
    layout: &'a [u8],
}

/// Where each type's record starts.
#[derive(Debug)]
pub(super) struct Index {
    /// By type number; 0, which is `void` and has no record, is left in.
    pub(super) positions: Vec<u32>,
    /// Name's offset and number of each struct that has a name.
    pub(super) structs: Vec<(u32, u32)>,
}

/// The little-endian word at `at`.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*word))
}

/// Number of the kind in an info word.
pub(super) const fn kind_of(info: u32) -> u8 {
    (info >> 24) as u8 & 0x7f
}

/// Number of elements in an info word.
pub(super) const fn elements_of(info: u32) -> u32 {
    info & 0x00ff_ffff
}

impl<'a> Blob<'a> {
    /// Checks the header and finds the sections.
    pub(super) fn new(data: &'a [u8]) -> Result<Self, BtfError> {
        match data {
            [0x9f, 0xeb, ..] => {}
            [0xeb, 0x9f, ..] => return Err(BtfError::BigEndian),
            _ => return Err(BtfError::NotBtf(data.iter().take(2).copied().collect())),
        }
        let short = || BtfError::Corrupt(format!("{} bytes are shorter than the header", data.len()));
        if let &[_, _, version, flags, ..] = data
            && (version, flags) != (1, 0)
        {
            return Err(BtfError::Version { version, flags });
        }
        let length = word(data, 4).ok_or_else(short)? as usize;
        let header = data.get(..length).filter(|header| header.len() >= HEADER).ok_or_else(short)?;
        let body = &data[length..];
        let section = |name: &str, at: usize| {
            let start = word(header, at).ok_or_else(short)? as usize;
            let length = word(header, at + 4).ok_or_else(short)? as usize;
            start.checked_add(length).and_then(|end| body.get(start..end)).ok_or_else(|| {
                BtfError::Corrupt(format!(
                    "{length} bytes of {name} at {start} are beyond the end, {} bytes after the header",
                    body.len()
                ))
            })
        };
        let types = section("types", 8)?;
        let strings = section("strings", 16)?;
        let layout = if length >= HEADER_WITH_LAYOUT { section("layout", 24)? } else { &[] };
        // With a NUL at the end every name that starts inside the section also ends there.
        if strings.first() != Some(&0) || strings.last() != Some(&0) {
            return Err(BtfError::Corrupt("the strings do not start and end with a NUL".to_owned()));
        }
        Ok(Self { types, strings, layout })
    }

    /// Walks all records once.
    pub(super) fn index(&self) -> Result<Index, BtfError> {
        const STRUCT: u8 = Kind::Struct as u8;
        let trailers = self.trailers();
        // The average record of a kernel has 20 to 24 bytes; a lying header cannot make this more than the data's
        // size.
        let mut positions = Vec::with_capacity(self.types.len() / 20);
        let mut structs = Vec::new();
        positions.push(0);
        let mut rest = self.types;
        let mut id = 1;
        while !rest.is_empty() {
            let cut = || BtfError::Corrupt(format!("type {id} is cut off"));
            let head = rest.first_chunk::<HEAD>().ok_or_else(cut)?;
            let name = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
            let info = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            let kind = kind_of(info);
            let Some(trailer) = trailers[usize::from(kind)] else {
                return Err(BtfError::UnknownKind { kind, id });
            };
            if name as usize >= self.strings.len() {
                return Err(BtfError::Corrupt(format!("type {id} has a name at {name}, beyond the strings")));
            }
            if kind == STRUCT && name != 0 {
                structs.push((name, id));
            }
            positions.push(u32::try_from(self.types.len() - rest.len()).map_err(|_| cut())?);
            let length =
                HEAD + usize::from(trailer.fixed) + usize::from(trailer.each) * elements_of(info) as usize;
            rest = rest.get(length..).ok_or_else(cut)?;
            id += 1;
        }
        Ok(Index { positions, structs })
    }

    /// What follows the head by kind; kinds that we do not know are taken from the layout section.
    fn trailers(&self) -> [Option<Trailer>; KINDS] {
        let mut all = [None; KINDS];
        for (kind, entry) in self.layout.chunks_exact(4).enumerate().take(KINDS) {
            // `struct btf_layout`: bytes once, bytes for each element, flags.
            all[kind] = Some(Trailer { fixed: entry[0], each: entry[1] });
        }
        for (slot, known) in all.iter_mut().zip(TRAILERS) {
            *slot = Some(known);
        }
        // Kind 0 is no kind.
        all[0] = None;
        all
    }

    /// The NUL-terminated string at `offset`, without the NUL.
    pub(super) fn string(&self, offset: u32) -> Result<&'a [u8], BtfError> {
        let from = self
            .strings
            .get(offset as usize..)
            .filter(|from| !from.is_empty())
            .ok_or_else(|| BtfError::Corrupt(format!("a name at {offset} is beyond the strings")))?;
        Ok(from.split(|&byte| byte == 0).next().unwrap_or(from))
    }

    /// Whether the string at `offset` is `wanted`: cheaper than to find its end first.
    pub(super) fn string_is(&self, offset: u32, wanted: &[u8]) -> bool {
        self.strings
            .get(offset as usize..)
            .and_then(|from| from.strip_prefix(wanted))
            .is_some_and(|after| after.first() == Some(&0))
    }
}
