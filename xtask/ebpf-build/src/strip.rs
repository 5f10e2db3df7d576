//! Takes the debug information out of an object: rss-drift carries its object in its own file and reads it at every start, and nine
//! tenths of what the compiler writes is DWARF, which neither aya nor the kernel reads. What they read of types and source lines is BTF.

use object::{
    build::{
        Error,
        elf::{Builder, Section, SectionData, SectionId},
    },
    elf::SHT_STRTAB,
};

/// Sections that only a debugger reads.
const DEBUG: &[u8] = b".debug_";
/// Where the words of `.BTF.ext` lie in the code: the linker has put the offsets in already, and nobody relocates them again.
const RELOCATED: &[u8] = b".rel.BTF.ext";

/// The object without its debug information.
pub(crate) fn strip(object: &[u8]) -> Result<Vec<u8>, Error> {
    let mut builder = Builder::read(object)?;
    let unread: Vec<SectionId> = builder
        .sections
        .iter()
        .filter(|section| section.name.starts_with(DEBUG) || section.name.as_slice() == RELOCATED)
        .map(Section::id)
        .collect();
    for &id in &unread {
        builder.sections.get_mut(id).delete = true;
    }
    for section in &mut builder.sections {
        // The relocations of a section that is gone have nothing to relocate.
        let of_unread = section.sh_info_section.is_some_and(|id| unread.contains(&id));
        section.delete |= of_unread && matches!(section.data, SectionData::Relocation(_));
    }
    builder.delete_orphans();
    if !builder.sections.iter().any(|section| matches!(section.data, SectionData::SectionString)) {
        // LLVM keeps the names of sections and of symbols in one table; the builder wants two.
        let names = builder.sections.add();
        names.name = b".shstrtab"[..].into();
        names.sh_type = SHT_STRTAB;
        names.sh_addralign = 1;
        names.data = SectionData::SectionString;
    }
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}
