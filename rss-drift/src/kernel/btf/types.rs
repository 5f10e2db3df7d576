//! One type of a BTF blob: its kind, its parts, its size, and how it reads in a message.

use std::borrow::Cow;

use super::{
    Btf, BtfError, Kind,
    blob::{HEAD, elements_of, kind_of, word},
};

/// Typedefs and qualifiers that are followed from one type before a cycle is assumed; kernels have up to about 6.
const MAX_STEPS: usize = 64;

/// Levels of arrays within arrays that a size is computed through.
const MAX_ARRAYS: usize = 16;

/// Bytes of a pointer: `x86_64` only.
const POINTER: u64 = 8;

/// One type of a BTF blob.
#[derive(Clone, Copy, Debug)]
pub struct Type<'a> {
    btf: &'a Btf<'a>,
    id: u32,
    /// Its record with everything up to the next one; empty for `void`.
    record: &'a [u8],
}

/// One member of a struct or union as it is written down: anonymous ones are not descended.
#[derive(Clone, Copy, Debug)]
pub struct RawMember {
    /// Offset of its name in the strings; of an empty string when it has none.
    pub name: u32,
    /// Number of its type.
    pub type_id: u32,
    /// Bits from the start of the struct.
    pub bit_offset: u32,
    /// Bits of a bitfield; 0 for any other member.
    pub bitfield: u32,
}

/// An integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int {
    /// Bytes.
    pub size: u32,
    /// Whether it is signed.
    pub signed: bool,
    /// Whether it fills its bytes: an old form of bitfield does not.
    pub whole: bool,
}

impl<'a> Type<'a> {
    pub(super) const fn new(btf: &'a Btf<'a>, id: u32, record: &'a [u8]) -> Self {
        Self { btf, id, record }
    }

    /// The blob that it is of.
    pub(super) const fn btf(&self) -> &'a Btf<'a> {
        self.btf
    }

    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The type's whole record, elements included; empty for `void`.
    #[must_use]
    pub const fn record(&self) -> &'a [u8] {
        self.record
    }

    /// The word at `at` of the record; the index pass has made sure of the record's length.
    fn word(&self, at: usize) -> u32 {
        word(self.record, at).unwrap_or(0)
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::of(kind_of(self.word(4)))
    }

    /// How many members, parameters or enumerators it has.
    #[must_use]
    pub fn elements(&self) -> u32 {
        elements_of(self.word(4))
    }

    /// The kind flag: with it a struct's members hold the size of bitfields, and a forward declaration is of a union.
    #[must_use]
    pub fn kind_flag(&self) -> bool {
        self.word(4) >> 31 != 0
    }

    /// The third word: a size in bytes or the number of another type.
    #[must_use]
    pub fn size_or_type(&self) -> u32 {
        self.word(8)
    }

    /// Offset of the name in the strings.
    #[must_use]
    pub fn name_offset(&self) -> u32 {
        self.word(0)
    }

    /// The name; empty where it has none.
    pub fn name(&self) -> Result<Cow<'a, str>, BtfError> {
        self.btf.string(self.name_offset())
    }

    /// The type that this one refers to: of a pointer, a typedef, a qualifier.
    pub fn target(&self) -> Result<Self, BtfError> {
        self.btf.type_by_id(self.size_or_type())
    }

    /// The type behind typedefs, qualifiers and tags.
    ///
    /// # Errors
    /// When they form a circle.
    pub fn stripped(self) -> Result<Self, BtfError> {
        let mut at = self;
        for _ in 0..MAX_STEPS {
            match at.kind() {
                Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag => {
                    at = at.target()?;
                }
                _ => return Ok(at),
            }
        }
        Err(BtfError::Corrupt(format!("type {} refers to itself through typedefs or qualifiers", self.id)))
    }

    /// Element type and length of an array; `None` for any other type.
    pub fn array(&self) -> Result<Option<(Self, u32)>, BtfError> {
        if self.kind() != Kind::Array {
            return Ok(None);
        }
        // `struct btf_array`: type, index type, number of elements.
        Ok(Some((self.btf.type_by_id(self.word(HEAD))?, self.word(HEAD + 8))))
    }

    /// Properties of an integer; `None` for any other type.
    #[must_use]
    pub fn int(&self) -> Option<Int> {
        /// `BTF_INT_SIGNED`, within the encoding that starts at bit 24.
        const SIGNED: u32 = 1 << 24;
        if self.kind() != Kind::Int {
            return None;
        }
        let (size, data) = (self.size_or_type(), self.word(HEAD));
        let (bit_offset, bits) = (data >> 16 & 0xff, data & 0xff);
        let whole = bit_offset == 0 && Some(bits) == size.checked_mul(8);
        Some(Int { size, signed: data & SIGNED != 0, whole })
    }

    /// Members as written down; empty for what is no struct and no union.
    pub fn members(self) -> impl Iterator<Item = RawMember> + 'a {
        let structured = matches!(self.kind(), Kind::Struct | Kind::Union);
        let with_sizes = self.kind_flag();
        let records = if structured { self.record.get(HEAD..).unwrap_or(&[]) } else { &[] };
        records.chunks_exact(12).map(move |record| {
            let [name, type_id, offset] = [0, 4, 8].map(|at| word(record, at).unwrap_or(0));
            let (bit_offset, bitfield) =
                if with_sizes { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
            RawMember { name, type_id, bit_offset, bitfield }
        })
    }

    /// Name's offset and value of each enumerator of an enum of 32 bits; empty for any other type.
    pub fn enumerators(self) -> impl Iterator<Item = (u32, i32)> + 'a {
        // `struct btf_enum`: name, value.
        let records = if self.kind() == Kind::Enum { self.record.get(HEAD..).unwrap_or(&[]) } else { &[] };
        records.chunks_exact(8).map(|record| {
            let [name, value] = [0, 4].map(|at| word(record, at).unwrap_or(0));
            (name, value.cast_signed())
        })
    }

    /// Bytes of an object of this type; `None` where there is none (functions) or none is known (forward
    /// declarations).
    pub fn size(self) -> Result<Option<u64>, BtfError> {
        let mut at = self;
        let mut times: u64 = 1;
        for _ in 0..MAX_ARRAYS {
            at = at.stripped()?;
            if let Some((element, length)) = at.array()? {
                times = times.checked_mul(u64::from(length)).ok_or_else(|| {
                    BtfError::Corrupt(format!("array type {} is larger than any memory", self.id))
                })?;
                at = element;
                continue;
            }
            let one = match at.kind() {
                Kind::Pointer => POINTER,
                Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Float | Kind::Enum64 => {
                    u64::from(at.size_or_type())
                }
                _ => return Ok(None),
            };
            return one.checked_mul(times).map(Some).ok_or_else(|| {
                BtfError::Corrupt(format!("array type {} is larger than any memory", self.id))
            });
        }
        Err(BtfError::Corrupt(format!("type {} is an array of arrays of arrays without end", self.id)))
    }

    /// How the type reads in a message: "a pointer to void".
    #[must_use]
    pub fn describe(&self) -> String {
        // Deeper than any type we ask for; what is left out is shown as such.
        self.describe_within(4).unwrap_or_else(|error| format!("unreadable ({error})"))
    }

    fn describe_within(self, levels: usize) -> Result<String, BtfError> {
        let plain = self.stripped()?;
        if levels == 0 {
            return Ok("...".to_owned());
        }
        if let Some((element, length)) = plain.array()? {
            return Ok(format!("an array of {length} x {}", element.describe_within(levels - 1)?));
        }
        let named = |word: &str| {
            let name = plain.name()?;
            if !name.is_empty() {
                return Ok(format!("{word} {name}"));
            }
            // An anonymous struct is known by the typedef that led to it (atomic_t).
            Ok(if self.kind() == Kind::Typedef {
                format!("{}, an anonymous {word}", self.name()?)
            } else {
                format!("an anonymous {word}")
            })
        };
        match plain.kind() {
            Kind::Void => Ok("void".to_owned()),
            Kind::Int => {
                let sign = if plain.int().is_some_and(|int| int.signed) { "a signed" } else { "an unsigned" };
                Ok(format!("{sign} integer of {} bytes", plain.size_or_type()))
            }
            Kind::Pointer => Ok(format!("a pointer to {}", plain.target()?.describe_within(levels - 1)?)),
            Kind::Struct => named("struct"),
            Kind::Union => named("union"),
            Kind::Forward => named(if plain.kind_flag() { "union" } else { "struct" }),
            Kind::Enum | Kind::Enum64 => named("enum"),
            Kind::Float => Ok(format!("a floating-point number of {} bytes", plain.size_or_type())),
            Kind::Prototype => Ok("a function".to_owned()),
            Kind::Other => Ok(format!("of the unknown kind {}", kind_of(plain.word(4)))),
            kind => Ok(format!("of kind {kind:?}")),
        }
    }
}
