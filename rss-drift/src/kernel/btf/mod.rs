//! The kernel's type information: structs, members and functions by name.
//!
//! Start-up waits for this, so nothing is built per type: one pass over the records notes where each starts
//! ([`Btf::parse`]), and names are compared where they lie.

mod blob;
mod error;
mod file;
mod kind;
mod member;
mod numbers;
mod shape;
mod source;
mod structure;
mod types;

#[cfg(test)]
pub(super) mod builder;
#[cfg(test)]
mod elf;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use blob::{Blob, HEAD, Index, word};
pub use error::BtfError;
pub use file::{Data, VMLINUX, read_vmlinux};
pub use kind::Kind;
pub use member::Member;
pub use numbers::{Target, blob_of};
pub use shape::Shape;
pub use source::{choose, read};
pub use structure::Structure;
pub use types::{Int, RawMember, Type};

/// A BTF blob with an index of its types.
#[derive(Debug)]
pub struct Btf<'a> {
    blob: Blob<'a>,
    index: Index,
}

impl<'a> Btf<'a> {
    /// Checks the blob's form and finds every type in it.
    ///
    /// # Errors
    /// When it is no BTF that this program can read: another byte order, a newer form, cut off.
    pub fn parse(data: &'a [u8]) -> Result<Self, BtfError> {
        let blob = Blob::new(data)?;
        let index = blob.index()?;
        Ok(Self { blob, index })
    }

    /// The type of this number; 0 is `void`.
    pub fn type_by_id(&self, id: u32) -> Result<Type<'_>, BtfError> {
        if id == 0 {
            return Ok(Type::new(self, 0, &[]));
        }
        let positions = &self.index.positions;
        let start = positions.get(id as usize).map(|&start| start as usize);
        let record = start.and_then(|start| {
            let end = positions.get(id as usize + 1).map_or(self.blob.types.len(), |&end| end as usize);
            self.blob.types.get(start..end)
        });
        let record = record.ok_or_else(|| {
            BtfError::Corrupt(format!("type {id} is referred to, but there are {}", positions.len() - 1))
        })?;
        Ok(Type::new(self, id, record))
    }

    /// All types in the order of their numbers, from 1.
    pub fn types(&self) -> impl Iterator<Item = Type<'_>> {
        (1..).take(self.index.positions.len() - 1).filter_map(|id| self.type_by_id(id).ok())
    }

    /// The string at `offset`, as members and enumerators name theirs.
    pub fn string(&self, offset: u32) -> Result<Cow<'a, str>, BtfError> {
        self.blob.string(offset).map(String::from_utf8_lossy)
    }

    /// Whether the string at `offset` is `wanted`.
    #[must_use]
    pub fn string_is(&self, offset: u32, wanted: &str) -> bool {
        self.blob.string_is(offset, wanted.as_bytes())
    }

    /// All definitions of the struct `name`; a kernel can have several of one name. Forward declarations are none.
    ///
    /// # Errors
    /// When there is none.
    pub fn structure<'b>(&'b self, name: &'b str) -> Result<Structure<'b>, BtfError> {
        let definitions = self
            .index
            .structs
            .iter()
            .filter(|&&(offset, _)| self.string_is(offset, name))
            .map(|&(_, id)| self.type_by_id(id))
            .collect::<Result<_, _>>()?;
        Structure::new(name, definitions)
    }

    /// Whether the kernel has a function of this name, static ones included: what fentry can attach to.
    ///
    /// Searches all types; not for the start of passive mode.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.types().any(|found| found.kind() == Kind::Function && self.string_is(found.name_offset(), name))
    }

    /// How many arguments the tracepoint `name` gives to a raw BPF program, by its `btf_trace_NAME` typedef; `None` where
    /// the kernel has no such tracepoint.
    ///
    /// Searches all types; not for the start of passive mode.
    ///
    /// # Errors
    /// When the typedef is not of a pointer to a function that takes the tracepoint's private data first
    /// (`include/linux/tracepoint.h`: `__DECLARE_TRACE`).
    pub fn tracepoint_args(&self, name: &str) -> Result<Option<u32>, BtfError> {
        let typedef = format!("btf_trace_{name}");
        let mut found = None;
        for candidate in self.types() {
            if candidate.kind() != Kind::Typedef || !self.string_is(candidate.name_offset(), &typedef) {
                continue;
            }
            let arguments = tracepoint_arguments(candidate)?.ok_or_else(|| BtfError::Unexpected {
                what: typedef.clone(),
                expected: "a pointer to a function whose first parameter is an untyped pointer".to_owned(),
                found: candidate.describe(),
            })?;
            if found.replace(arguments).is_some_and(|before| before != arguments) {
                return Err(BtfError::Ambiguous(typedef));
            }
        }
        Ok(found)
    }

    /// The enums of 32 bits that have an enumerator of this name.
    pub fn enums_with(&self, name: &str) -> impl Iterator<Item = Type<'_>> {
        self.types().filter(move |found| {
            found.kind() == Kind::Enum && found.enumerators().any(|(at, _)| self.string_is(at, name))
        })
    }
}

/// Parameters after the first of what `typedef` points to; `None` where it is not the type of a tracepoint's
/// function.
fn tracepoint_arguments(typedef: Type<'_>) -> Result<Option<u32>, BtfError> {
    let pointer = typedef.stripped()?;
    if pointer.kind() != Kind::Pointer {
        return Ok(None);
    }
    let prototype = pointer.target()?.stripped()?;
    if prototype.kind() != Kind::Prototype {
        return Ok(None);
    }
    // `struct btf_param`: name, type.
    let Some(first) = word(prototype.record(), HEAD + 4) else { return Ok(None) };
    let untyped = Shape::Pointer(&Shape::Void).fits(typedef.btf().type_by_id(first)?)?;
    Ok(untyped.then(|| prototype.elements() - 1))
}
