//! Writes small ELF images with type information and a build ID, for the tests.

/// An image of `x86_64` with a section .BTF and a note of a build ID.
pub(super) fn image(btf: &[u8], build_id: &[u8]) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.BTF\0.note.gnu.build-id\0.shstrtab\0";
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
    let note =
        [&4_u32.to_le_bytes()[..], &length(build_id).to_le_bytes(), &3_u32.to_le_bytes(), b"GNU\0", build_id]
            .concat();
    // Name's offset, type (PROGBITS, NOTE, STRTAB), content.
    let sections = [(1_u32, 1_u32, btf), (6, 7, &note), (25, 3, NAMES)];
    let mut image = vec![0; 64];
    let mut headers = vec![0; 64];
    for (name, of, content) in sections {
        image.resize(image.len().next_multiple_of(8), 0);
        let offset = image.len() as u64;
        image.extend_from_slice(content);
        headers.extend([name, of].into_iter().flat_map(u32::to_le_bytes));
        headers.extend([0, 0, offset, content.len() as u64, 0, 4, 0].into_iter().flat_map(u64::to_le_bytes));
    }
    image.resize(image.len().next_multiple_of(8), 0);
    let table = image.len() as u64;
    image.extend(headers);
    image[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    // ET_EXEC, EM_X86_64, version; the table of sections; sizes and numbers.
    image[16..24].copy_from_slice(&[2, 0, 62, 0, 1, 0, 0, 0]);
    image[40..48].copy_from_slice(&table.to_le_bytes());
    for (at, value) in [(52, 64_u16), (54, 56), (58, 64), (60, 4), (62, 3)] {
        image[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    image
}
