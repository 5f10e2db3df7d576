//! The file that the kernel's type information is in.

use std::{fs, fs::File, io, num::NonZeroUsize, ops::Deref, path::Path, ptr::NonNull, slice};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::BtfError;

/// The running kernel's own BTF (`kernel/bpf/sysfs_btf.c`, since 5.4).
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// The bytes of a BTF file.
#[derive(Debug)]
pub struct Data(Bytes);

#[derive(Debug)]
enum Bytes {
    /// A copy.
    Read(Vec<u8>),
    /// The kernel's own memory.
    Mapped { start: NonNull<libc::c_void>, length: NonZeroUsize },
}

/// The bytes of a BTF file. The running kernel's own are mapped where the kernel lets us (`kernel/bpf/sysfs_btf.c:btf_sysfs_vmlinux_mmap`,
/// since 6.16): read(2) gives a page of them at a time, and a copy of megabytes is a fifth of a start of passive mode. Any other file is
/// read, because who shortens a file that is mapped ends us with SIGBUS.
pub fn read_vmlinux(path: impl AsRef<Path>) -> Result<Data, BtfError> {
    let path = path.as_ref();
    if path == Path::new(VMLINUX)
        && let Ok(mapped) = map(path)
    {
        return Ok(Data(mapped));
    }
    let read = fs::read(path).map_err(|error| BtfError::Unreadable { path: path.to_owned(), error })?;
    Ok(Data(Bytes::Read(read)))
}

/// The file, mapped.
fn map(path: &Path) -> io::Result<Bytes> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).ok().and_then(NonZeroUsize::new);
    let length = length.ok_or(io::ErrorKind::UnexpectedEof)?;
    // SAFETY: a new mapping, at an address that the kernel chooses, over nothing of ours.
    let start = unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, &file, 0) }?;
    Ok(Bytes::Mapped { start, length })
}

impl Deref for Data {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Read(bytes) => bytes,
            // SAFETY: the mapping has so many bytes, lives as long as this value, and nobody writes to it: it is the kernel's read-only
            // data, which stays as long as the kernel runs.
            Bytes::Mapped { start, length } => unsafe {
                slice::from_raw_parts(start.as_ptr().cast(), length.get())
            },
        }
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if let Bytes::Mapped { start, length } = self.0 {
            // SAFETY: the mapping is ours, and no slice of it outlives this value.
            let unmapped = unsafe { munmap(start, length.get()) };
            // It fails only for an address that is none of a mapping.
            debug_assert!(unmapped.is_ok(), "{unmapped:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether this kernel lets BTF be mapped or not, and in a sandbox without it there is nothing to compare.
    #[test]
    fn what_is_mapped_is_what_is_read() {
        let (Ok(data), Ok(read)) = (read_vmlinux(VMLINUX), fs::read(VMLINUX)) else { return };
        assert!(*data == *read, "{} bytes are not the {} of the file", data.len(), read.len());
    }

    #[test]
    fn another_file_is_a_copy() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [0x9f, 0xeb]).unwrap();
        let data = read_vmlinux(file.path()).unwrap();
        file.as_file().set_len(0).unwrap();
        assert_eq!(*data, [0x9f, 0xeb]);
        assert!(map(file.path()).is_err(), "there is no mapping of nothing");
    }
}
