//! What a file that should be a kernel is: whether QEMU can boot it, and which release it has.

use anyhow::{Result, bail};

/// The release of a kernel of `x86_64`, as `uname -r` says.
///
/// # Errors
/// One line on what the file is instead.
pub(crate) fn release(image: &[u8]) -> Result<String> {
    if image.get(0x202..0x206) == Some(b"HdrS") {
        return of_bzimage(image);
    }
    if let Some(other) = other(image) {
        bail!(
            "{other}: a guest boots kernels of x86_64, as a bzImage (arch/x86/boot/bzImage, /boot/vmlinuz-*)"
        );
    }
    bail!("this is no kernel: a bzImage (arch/x86/boot/bzImage, /boot/vmlinuz-*) has HdrS at byte 514");
}

/// By the header that `Documentation/arch/x86/boot.rst` describes.
fn of_bzimage(image: &[u8]) -> Result<String> {
    /// `XLF_KERNEL_64` of `xloadflags`, which protocol 2.12 (kernel 3.8) added.
    const KERNEL_64: u16 = 1;
    let word = |at: usize| image.get(at..at + 2).map(|two| u16::from_le_bytes([two[0], two[1]]));
    let protocol = word(0x206).unwrap_or(0);
    if protocol < 0x20c || word(0x236).unwrap_or(0) & KERNEL_64 == 0 {
        bail!("this is a kernel of 32-bit x86: a guest boots kernels of x86_64");
    }
    // The text lies in the boot sector's part, whose offsets leave out its first 512 bytes.
    let text = word(0x20e).filter(|&at| at != 0).and_then(|at| image.get(usize::from(at) + 0x200..));
    let text = text.and_then(|text| text.split(|&byte| byte == 0).next()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[..text.len().min(256)]);
    match text.split_whitespace().next() {
        Some(release) => Ok(release.to_owned()),
        None => bail!("this kernel's header names no release: the file is damaged"),
    }
}

/// What a file of another kind is.
fn other(image: &[u8]) -> Option<String> {
    const X86_64: u16 = 62;
    if image.get(0x38..0x3c) == Some(b"ARM\x64") {
        return Some("this is a kernel of arm64".to_owned());
    }
    if image.get(0x30..0x35) == Some(b"RISCV") {
        return Some("this is a kernel of RISC-V".to_owned());
    }
    if image.starts_with(b"\x7fELF") {
        // `e_machine`, in the file's own byte order.
        let machine = image.get(18..20).map(|two| [two[0], two[1]])?;
        let machine =
            if image.get(5) == Some(&2) { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
        return Some(match machine {
            X86_64 => "this is an ELF file, not compressed (vmlinux)".to_owned(),
            other => format!("this is an ELF file of another architecture (e_machine {other})"),
        });
    }
    image
        .starts_with(b"\x1f\x8b")
        .then(|| "this is a gzip file, as kernels of other architectures are".to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The header of a bzImage, with this release.
    pub(crate) fn bzimage(release: &str, flags: u16) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x236..0x238].copy_from_slice(&flags.to_le_bytes());
        image[0x300..0x300 + release.len()].copy_from_slice(release.as_bytes());
        image
    }

    #[test]
    fn the_release_is_the_first_word_of_the_version() {
        let image = bzimage("6.12.107+deb13-amd64 (debian-kernel@lists.debian.org) #1", 0x7f);
        assert_eq!(release(&image).unwrap(), "6.12.107+deb13-amd64");
        assert_eq!(release(&bzimage("7.3-amd64", 1)).unwrap(), "7.3-amd64");
    }

    #[test]
    fn each_other_file_is_told_in_one_line() {
        let with = |at: usize, bytes: &[u8]| {
            let mut image = vec![0; 0x300];
            image[at..at + bytes.len()].copy_from_slice(bytes);
            image
        };
        let mut aarch64 = with(0, b"\x7fELF\x02\x01");
        aarch64[18] = 183;
        let mut vmlinux = aarch64.clone();
        vmlinux[18] = 62;
        let mut s390 = with(0, b"\x7fELF\x02\x02");
        s390[19] = 22;
        for (image, words) in [
            (bzimage("6.12.0", 0), "32-bit x86"),
            (bzimage("", 1), "names no release"),
            (bzimage("6.12.0", 1)[..0x210].to_vec(), "32-bit x86"),
            (with(0x38, b"ARM\x64"), "kernel of arm64"),
            (with(0x30, b"RISCV\0\0\0"), "kernel of RISC-V"),
            (aarch64, "e_machine 183"),
            (s390, "e_machine 22"),
            (vmlinux, "not compressed (vmlinux)"),
            (with(0, b"\x1f\x8b\x08"), "gzip"),
            (b"#!/bin/sh\n".to_vec(), "this is no kernel"),
            (Vec::new(), "this is no kernel"),
        ] {
            let error = format!("{:#}", release(&image).unwrap_err());
            assert!(error.contains(words) && error.lines().count() == 1, "{words}: {error}");
        }
    }
}
