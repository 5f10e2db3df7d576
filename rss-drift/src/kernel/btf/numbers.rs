//! Numbers of the few types that BPF programs attach to, and a BTF blob that holds just these.
//!
//! aya looks a BPF program's target up by name in a BTF that it has parsed whole: for a kernel's that is an allocation or two
//! for each of 100,000 types, at every start. In a blob of ours the few have their numbers, and all others are nameless.

use super::{Btf, Kind, blob::HEAD};

/// A type that a BPF program attaches to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// What it is: a function, or the typedef of a tracepoint.
    pub kind: Kind,
    pub name: &'static str,
    /// Its number in the kernel's BTF.
    pub number: u32,
}

impl Btf<'_> {
    /// Those of `wanted` that the kernel has: of several of one name the first, as aya takes it.
    #[must_use]
    pub fn targets(&self, wanted: &[(Kind, &'static str)]) -> Vec<Target> {
        let mut found = Vec::with_capacity(wanted.len());
        for of in self.types() {
            // Nearly all types are of another kind.
            for &(kind, name) in wanted.iter().filter(|&&(kind, _)| kind == of.kind()) {
                let known = |target: &Target| (target.kind, target.name) == (kind, name);
                if self.string_is(of.name_offset(), name) && !found.iter().any(known) {
                    found.push(Target { kind, name, number: of.id() });
                }
            }
            if found.len() == wanted.len() {
                break;
            }
        }
        found
    }
}

/// A blob in which each of `targets` has its number. It is for look-ups by name: the types say nothing else.
#[must_use]
pub fn blob_of(targets: &[Target]) -> Vec<u8> {
    /// Bytes of `struct btf_header`: magic, version 1, no flags, its length; where types and strings lie after it.
    const HEADER: u32 = 24;
    let last = targets.iter().map(|target| target.number as usize).max().unwrap_or(0);
    let strings = targets.iter().map(|target| target.name.len() + 1).sum::<usize>() + 1;
    let mut blob = Vec::with_capacity(HEADER as usize + last * HEAD + strings);
    blob.extend([0x9f, 0xeb, 1, 0]);
    blob.extend(HEADER.to_le_bytes());
    for field in [0, last * HEAD, last * HEAD, strings] {
        blob.extend(word(field));
    }
    for _ in 0..last {
        blob.extend([0; 4]);
        blob.extend(info(Kind::Forward));
        blob.extend([0; 4]);
    }
    blob.push(0);
    let mut name = 1;
    for target in targets {
        let record = (target.number as usize).checked_sub(1).map(|index| HEADER as usize + index * HEAD);
        if let Some(record) = record.and_then(|start| blob.get_mut(start..start + 8)) {
            record[..4].copy_from_slice(&word(name));
            record[4..].copy_from_slice(&info(target.kind));
        }
        blob.extend_from_slice(target.name.as_bytes());
        blob.push(0);
        name += target.name.len() + 1;
    }
    blob
}

/// The info word of a kind without elements.
fn info(kind: Kind) -> [u8; 4] {
    [0, 0, 0, kind as u8]
}

/// A length as the format has it. One that does not fit is that of a blob which no kernel has and every parser refuses.
fn word(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::{super::builder::Builder, *};

    /// A blob with a function and a tracepoint between other types.
    fn kernel() -> Vec<u8> {
        let mut builder = Builder::new();
        let int = builder.int(4, true);
        builder.structure("visit", 4, &[("x", int, 0)]);
        let prototype = builder.record("", (Kind::Prototype as u32) << 24, 0, &[]);
        builder.plain("visit", Kind::Function, prototype);
        builder.plain("visit", Kind::Function, prototype);
        builder.tracepoint("fires", &[int]);
        builder.int(8, false);
        builder.blob()
    }

    const WANTED: [(Kind, &str); 3] =
        [(Kind::Typedef, "btf_trace_fires"), (Kind::Function, "visit"), (Kind::Function, "absent")];

    #[test]
    fn targets_keep_their_numbers() {
        let data = kernel();
        let targets = Btf::parse(&data).unwrap().targets(&WANTED);
        assert_eq!(
            targets,
            [
                Target { kind: Kind::Function, name: "visit", number: 4 },
                Target { kind: Kind::Typedef, name: "btf_trace_fires", number: 8 },
            ]
        );
        let blob = blob_of(&targets);
        assert_eq!(Btf::parse(&blob).unwrap().targets(&WANTED), targets);
    }

    #[test]
    fn without_targets_there_are_no_types() {
        let blob = blob_of(&[]);
        assert_eq!(Btf::parse(&blob).unwrap().types().count(), 0);
    }
}
