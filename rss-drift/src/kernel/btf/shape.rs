//! What a member is expected to be: compared with what BTF says, and named in the message where they differ.

use std::fmt;

use super::{BtfError, Kind, Type, member::find};

/// A type by what matters of it: kinds and sizes. Typedefs, qualifiers and tags do not.
#[derive(Clone, Copy, Debug)]
pub enum Shape<'s> {
    /// No type: what an untyped pointer points to.
    Void,
    /// An integer of so many bytes, of either sign.
    Int(u32),
    /// A signed integer of so many bytes.
    Signed(u32),
    /// `atomic_t` (4) or `atomic64_t` (8): a struct whose only content is a signed `counter` of so many bytes.
    Atomic(u32),
    /// A struct of this name. Behind a pointer its forward declaration will do.
    Struct(&'s str),
    /// A pointer.
    Pointer(&'s Shape<'s>),
    /// An array of exactly so many elements.
    Array(u32, &'s Shape<'s>),
    /// An array of any length, none included: the last member of a struct that is longer than its type.
    Flexible(&'s Shape<'s>),
}

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Void => f.write_str("void"),
            Self::Int(size) => write!(f, "an integer of {size} bytes"),
            Self::Signed(size) => write!(f, "a signed integer of {size} bytes"),
            Self::Atomic(size) => write!(f, "an atomic counter of {size} bytes"),
            Self::Struct(name) => write!(f, "struct {name}"),
            Self::Pointer(target) => write!(f, "a pointer to {target}"),
            Self::Array(length, element) => write!(f, "an array of {length} x {element}"),
            Self::Flexible(element) => write!(f, "an array of {element}"),
        }
    }
}

impl Shape<'_> {
    /// Whether `found` has this shape.
    pub fn fits(&self, found: Type<'_>) -> Result<bool, BtfError> {
        let found = found.stripped()?;
        match *self {
            Self::Void => Ok(found.kind() == Kind::Void),
            Self::Int(size) => Ok(found.int().is_some_and(|int| int.size == size && int.whole)),
            Self::Signed(size) => {
                Ok(found.int().is_some_and(|int| int.size == size && int.whole && int.signed))
            }
            Self::Atomic(size) => {
                if found.kind() != Kind::Struct || found.size_or_type() != size {
                    return Ok(false);
                }
                match find(found, "atomic", "counter")? {
                    Some(counter) => Ok(counter.offset == 0 && Self::Signed(size).fits(counter.of)?),
                    None => Ok(false),
                }
            }
            Self::Struct(name) => Ok(found.kind() == Kind::Struct && found.name()? == name),
            Self::Pointer(target) => {
                if found.kind() != Kind::Pointer {
                    return Ok(false);
                }
                let pointee = found.target()?.stripped()?;
                match target {
                    Self::Struct(name) if pointee.kind() == Kind::Forward => {
                        Ok(!pointee.kind_flag() && pointee.name()? == *name)
                    }
                    _ => target.fits(pointee),
                }
            }
            Self::Array(length, element) => match found.array()? {
                Some((of, found_length)) if found_length == length => element.fits(of),
                _ => Ok(false),
            },
            Self::Flexible(element) => match found.array()? {
                Some((of, _)) => element.fits(of),
                None => Ok(false),
            },
        }
    }
}
