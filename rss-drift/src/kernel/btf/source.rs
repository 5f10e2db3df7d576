//! Where the running kernel's type information comes from: the kernel itself, a file that the user names, or the kernel's image
//! with its debug information, where distributions and builds put it.

use std::{
    fmt::Write as _,
    fs,
    fs::File,
    ops::Deref,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use object::{Object as _, ObjectSection as _, ReadCache};

use super::{BtfError, VMLINUX, read_vmlinux};

/// The running kernel's notes (`kernel/ksysfs.c:notes_read`, since 2.6.23): its build ID is one of them.
const NOTES: &str = "/sys/kernel/notes";

/// The file that the user named.
static CHOSEN: OnceLock<PathBuf> = OnceLock::new();

/// Takes the type information from this file instead of from the kernel. The first call counts.
pub fn choose(file: PathBuf) {
    let _ = CHOSEN.set(file);
}

/// Where else the image of a kernel of this release may lie: the places that libbpf knows (`tools/lib/bpf/btf.c`).
fn places(release: &str) -> [PathBuf; 7] {
    [
        format!("/boot/vmlinux-{release}"),
        format!("/lib/modules/{release}/vmlinux-{release}"),
        format!("/lib/modules/{release}/build/vmlinux"),
        format!("/usr/lib/modules/{release}/kernel/vmlinux"),
        format!("/usr/lib/debug/boot/vmlinux-{release}"),
        format!("/usr/lib/debug/boot/vmlinux-{release}.debug"),
        format!("/usr/lib/debug/lib/modules/{release}/vmlinux"),
    ]
    .map(PathBuf::from)
}

/// The running kernel's type information.
///
/// # Errors
/// When the user named a file that is not proven to be of the running kernel. Without such a file, when neither the kernel nor one of
/// the usual places has it.
pub fn read(release: &str) -> Result<Box<dyn Deref<Target = [u8]>>, BtfError> {
    let own = read_vmlinux(VMLINUX);
    let prove = |path: &Path| {
        let build_id = fs::read(NOTES).ok().and_then(|notes| build_id(&notes));
        Running { btf: own.as_deref().ok(), build_id }.prove(path)
    };
    if let Some(path) = CHOSEN.get() {
        return Ok(Box::new(prove(path)?));
    }
    if own.is_err() {
        for path in places(release).iter().filter(|path| path.exists()) {
            match prove(path) {
                Ok(data) => {
                    log::info!("the kernel's types are read from {}", path.display());
                    return Ok(Box::new(data));
                }
                Err(error) => log::info!("{error}"),
            }
        }
    }
    Ok(Box::new(own?))
}

/// What the running kernel tells of itself.
#[derive(Debug)]
struct Running<'a> {
    btf: Option<&'a [u8]>,
    build_id: Option<Vec<u8>>,
}

impl Running<'_> {
    /// The type information in this file, if it is the running kernel's: the same bytes as the kernel shows, or, where it shows none, an
    /// image with the kernel's build ID. The release is no proof: two builds may have the same.
    fn prove(&self, path: &Path) -> Result<Vec<u8>, BtfError> {
        let refused = |why: String| BtfError::Refused { path: path.to_owned(), why };
        let (data, of_file) = of_file(path).map_err(refused)?;
        if let Some(own) = self.btf {
            if own == data {
                return Ok(data);
            }
            return Err(refused(format!("it is of another kernel: it is not what {VMLINUX} holds")));
        }
        match (&self.build_id, of_file) {
            (Some(running), Some(of_file)) if *running == of_file && data.is_empty() => {
                Err(refused("its section .BTF is empty: the file has debug information only".to_owned()))
            }
            (Some(running), Some(of_file)) if *running == of_file => Ok(data),
            (Some(running), Some(of_file)) => Err(refused(format!(
                "it is of another kernel: its build ID is {}, that of the running kernel is {}",
                hex(&of_file),
                hex(running)
            ))),
            (_, None) => Err(refused(format!(
                "nothing proves that it is of the running kernel: {VMLINUX} cannot be read, and the file has no build ID (an ELF \
                 vmlinux has one)"
            ))),
            (None, _) => Err(refused(format!(
                "nothing proves that it is of the running kernel: neither {VMLINUX} nor {NOTES} can be read"
            ))),
        }
    }
}

/// Type information and build ID of a file: BTF as it is, or an ELF image with a section of it.
fn of_file(path: &Path) -> Result<(Vec<u8>, Option<Vec<u8>>), String> {
    let text = |error: &dyn std::fmt::Display| format!("it cannot be read: {error}");
    let mut file = File::open(path).map_err(|error| text(&error))?;
    let mut magic = [0; 4];
    // Shorter than that it is neither.
    let _ = std::io::Read::read(&mut file, &mut magic).map_err(|error| text(&error))?;
    if magic != *b"\x7fELF" {
        return Ok((fs::read(path).map_err(|error| text(&error))?, None));
    }
    // Hundreds of MB with debug information: only what is asked for is read.
    let cache = ReadCache::new(file);
    let image = object::File::parse(&cache).map_err(|error| text(&error))?;
    let section = image.section_by_name(".BTF").ok_or("it has no section .BTF")?;
    let data = section.data().map_err(|error| text(&error))?.to_vec();
    let build_id = image.build_id().map_err(|error| text(&error))?.map(<[u8]>::to_vec);
    Ok((data, build_id))
}

/// The build ID among ELF notes: each has the lengths of its name and of its content, a type, and both padded to 4 bytes.
fn build_id(mut notes: &[u8]) -> Option<Vec<u8>> {
    const NT_GNU_BUILD_ID: u32 = 3;
    loop {
        let word = |at: usize| super::word(notes, at);
        let (name, content, of) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let start = 12 + name.next_multiple_of(4);
        let found = notes.get(start..start.checked_add(content)?)?;
        if of == NT_GNU_BUILD_ID && notes.get(12..12 + name)? == b"GNU\0" {
            return Some(found.to_vec());
        }
        notes = notes.get(start + content.next_multiple_of(4)..)?;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: &[u8], of: u32, content: &[u8]) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let mut note = [length(name), length(content), of.to_le_bytes()].concat();
        for part in [name, content] {
            note.extend_from_slice(part);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    }

    #[test]
    fn the_build_id_is_found_among_other_notes() {
        let notes = [note(b"Xen\0", 3, b"abcd"), note(b"Linux\0", 6, &[0]), note(b"GNU\0", 3, b"0123456789")];
        assert_eq!(build_id(&notes.concat()).as_deref(), Some(&b"0123456789"[..]));
        assert_eq!(build_id(&notes[..2].concat()), None);
        assert_eq!(build_id(&[255; 40]), None, "lengths that lie");
        assert_eq!(build_id(&notes[2][..20]), None, "cut");
    }

    /// What becomes of a file with these bytes, by what the kernel tells.
    fn prove(content: &[u8], btf: Option<&[u8]>, build_id: Option<&[u8]>) -> Result<Vec<u8>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        let running = Running { btf, build_id: build_id.map(<[u8]>::to_vec) };
        running.prove(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn only_a_file_of_the_running_kernel_is_taken() {
        let raw = b"\x9f\xebtypes";
        assert_eq!(prove(raw, Some(raw), None), Ok(raw.to_vec()));
        let image = super::super::elf::image(raw, b"0123");
        assert_eq!(prove(&image, Some(raw), None), Ok(raw.to_vec()));
        assert_eq!(prove(&image, None, Some(b"0123")), Ok(raw.to_vec()));
        for (content, btf, build_id, words) in [
            (
                &raw[..],
                Some(&b"\x9f\xebother"[..]),
                None,
                "of another kernel: it is not what /sys/kernel/btf/vmlinux holds",
            ),
            (
                &image,
                None,
                Some(&b"0124"[..]),
                "its build ID is 30313233, that of the running kernel is 30313234",
            ),
            (&image, None, None, "neither /sys/kernel/btf/vmlinux nor /sys/kernel/notes can be read"),
            (raw, None, Some(b"0123"), "the file has no build ID"),
            (&image[..80], None, Some(b"0123"), "it cannot be read"),
            (&super::super::elf::image(b"", b"")[..], Some(raw), None, "of another kernel"),
            (&super::super::elf::image(b"", b"0123"), None, Some(b"0123"), "has debug information only"),
        ] {
            let error = prove(content, btf, build_id).unwrap_err();
            assert!(error.contains(words) && error.lines().count() == 1, "{words}: {error}");
        }
        let error = Running { btf: Some(raw), build_id: None }.prove(Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().contains("/nowhere: it cannot be read: No such file"), "{error}");
    }
}
