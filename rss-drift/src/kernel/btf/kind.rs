//! Kinds of types.

/// What a type is (`include/uapi/linux/btf.h`: `BTF_KIND_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// No type: what an untyped pointer points to.
    Void = 0,
    /// An integer, character or truth value.
    Int = 1,
    Pointer = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    /// An enum of up to 32 bits.
    Enum = 6,
    /// A struct or union that is only declared.
    Forward = 7,
    /// Another name of another type.
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    /// A function with a name; its type is a [`Kind::Prototype`].
    Function = 12,
    /// Result and parameters of a function.
    Prototype = 13,
    Variable = 14,
    /// A section of the kernel's image and its variables.
    Section = 15,
    Float = 16,
    /// An attribute of a declaration.
    DeclTag = 17,
    /// An attribute of a type, such as `__rcu` and `__percpu`.
    TypeTag = 18,
    /// An enum of up to 64 bits.
    Enum64 = 19,
    /// Newer than this program; stepped over by its length in the layout section.
    Other = 0x80,
}

impl Kind {
    const ALL: [Self; 20] = [
        Self::Void,
        Self::Int,
        Self::Pointer,
        Self::Array,
        Self::Struct,
        Self::Union,
        Self::Enum,
        Self::Forward,
        Self::Typedef,
        Self::Volatile,
        Self::Const,
        Self::Restrict,
        Self::Function,
        Self::Prototype,
        Self::Variable,
        Self::Section,
        Self::Float,
        Self::DeclTag,
        Self::TypeTag,
        Self::Enum64,
    ];

    /// The kind of this number.
    pub(super) fn of(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Other)
    }
}
