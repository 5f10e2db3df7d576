//! Writes small BTF blobs for the tests, right and wrong ones.

use super::Kind;

/// Name, type's number and offset in bits of a member. With the kind flag the offset's upper byte is a bitfield's
/// size.
pub(in crate::kernel) type Field<'n> = (&'n str, u32, u32);

/// A blob in the making.
#[derive(Clone, Debug)]
pub(in crate::kernel) struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Builder {
    /// An empty blob.
    pub(in crate::kernel) fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0], count: 0 }
    }

    /// The number that the next type gets: for types that refer to themselves or to later ones.
    pub(in crate::kernel) const fn next(&self) -> u32 {
        self.count + 1
    }

    /// Offset of a string.
    pub(in crate::kernel) fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        at
    }

    /// A record of any form: name, info word, size or type, what follows.
    pub(in crate::kernel) fn record(
        &mut self,
        name: &str,
        info: u32,
        size_or_type: u32,
        rest: &[u32],
    ) -> u32 {
        let name = self.name(name);
        let words = [name, info, size_or_type].into_iter().chain(rest.iter().copied());
        self.types.extend(words.flat_map(u32::to_le_bytes));
        self.count += 1;
        self.count
    }

    /// A record without elements.
    pub(in crate::kernel) fn plain(&mut self, name: &str, kind: Kind, size_or_type: u32) -> u32 {
        self.record(name, info(kind, 0), size_or_type, &[])
    }

    /// An integer that fills its bytes.
    pub(in crate::kernel) fn int(&mut self, size: u32, signed: bool) -> u32 {
        self.bits(size, signed, 0, size * 8)
    }

    /// An integer with its bits given: the old form of a bitfield.
    pub(in crate::kernel) fn bits(&mut self, size: u32, signed: bool, offset: u32, bits: u32) -> u32 {
        let encoding = u32::from(signed) << 24 | offset << 16 | bits;
        self.record("int", info(Kind::Int, 0), size, &[encoding])
    }

    pub(in crate::kernel) fn array(&mut self, element: u32, length: u32) -> u32 {
        self.record("", info(Kind::Array, 0), 0, &[element, 0, length])
    }

    /// A struct without the kind flag.
    pub(in crate::kernel) fn structure(&mut self, name: &str, size: u32, fields: &[Field<'_>]) -> u32 {
        self.fields(name, info(Kind::Struct, fields.len()), size, fields)
    }

    /// A struct or union with any info word.
    pub(in crate::kernel) fn fields(
        &mut self,
        name: &str,
        info: u32,
        size: u32,
        fields: &[Field<'_>],
    ) -> u32 {
        let words: Vec<u32> =
            fields.iter().flat_map(|&(name, of, offset)| [self.name(name), of, offset]).collect();
        self.record(name, info, size, &words)
    }

    /// An enum of 32 bits.
    pub(in crate::kernel) fn enumeration(&mut self, name: &str, values: &[(&str, i32)]) -> u32 {
        let words: Vec<u32> =
            values.iter().flat_map(|&(name, value)| [self.name(name), value.cast_unsigned()]).collect();
        self.record(name, info(Kind::Enum, values.len()), 4, &words)
    }

    /// `typedef void (*btf_trace_NAME)(PARAMETERS)`.
    pub(in crate::kernel) fn tracepoint(&mut self, name: &str, parameters: &[u32]) -> u32 {
        let words: Vec<u32> = parameters.iter().flat_map(|&of| [0, of]).collect();
        let prototype = self.record("", info(Kind::Prototype, parameters.len()), 0, &words);
        let pointer = self.plain("", Kind::Pointer, prototype);
        self.plain(&format!("btf_trace_{name}"), Kind::Typedef, pointer)
    }

    /// The blob as all known kernels have it.
    pub(in crate::kernel) fn blob(&self) -> Vec<u8> {
        self.assemble(None)
    }

    /// The blob with a layout section: for each kind the bytes that follow once and for each element.
    pub(in crate::kernel) fn blob_with_layout(&self, layout: &[[u8; 2]]) -> Vec<u8> {
        self.assemble(Some(layout))
    }

    fn assemble(&self, layout: Option<&[[u8; 2]]>) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        let (types, strings) = (length(&self.types), length(&self.strings));
        let layout: Option<Vec<u8>> =
            layout.map(|kinds| kinds.iter().flat_map(|&[fixed, each]| [fixed, each, 0, 0]).collect());
        let mut header = vec![0, types, types, strings];
        if let Some(layout) = &layout {
            header.extend([types + strings, length(layout)]);
        }
        let header_length = 8 + 4 * u32::try_from(header.len()).unwrap();
        let mut blob = vec![0x9f, 0xeb, 1, 0];
        blob.extend(header_length.to_le_bytes());
        blob.extend(header.into_iter().flat_map(u32::to_le_bytes));
        blob.extend_from_slice(&self.types);
        blob.extend_from_slice(&self.strings);
        blob.extend(layout.unwrap_or_default());
        blob
    }
}

/// The info word of a kind and its number of elements, without the kind flag.
pub(in crate::kernel) fn info(kind: Kind, elements: usize) -> u32 {
    (kind as u32) << 24 | u32::try_from(elements).unwrap()
}
