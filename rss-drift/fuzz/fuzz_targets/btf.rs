//! The BTF walker on any bytes: an answer or an error, never a panic, an endless loop or a huge allocation.
#![no_main]

use libfuzzer_sys::fuzz_target;

use kernel::{
    btf::{Btf, BtfError, Kind, Shape, Type},
    layout::resolve,
};

/// The modules themselves, without the crate around them, whose build makes the eBPF programs.
#[path = "../../src/kernel"]
#[allow(dead_code, unused_imports, reason = "the crate uses more of them")]
mod kernel {
    pub mod accounting;
    pub mod btf;
    pub mod layout;

    pub use accounting::Accounting;
}

/// Structs, and members of each, that are looked up by name: more would only make a run slower.
const LOOK_UPS: usize = 8;

fuzz_target!(|data: &[u8]| {
    let Ok(btf) = Btf::parse(data) else { return };
    let _ = resolve(&btf);
    let _ = (btf.has_function("exit_mmap"), btf.tracepoint_args("rss_stat"), btf.string(u32::MAX));
    for found in btf.types() {
        let _ = (found.name(), found.size(), found.describe());
        let _ = (found.members().count(), found.enumerators().count());
    }
    for found in btf.types().filter(|found| found.kind() == Kind::Struct).take(LOOK_UPS) {
        let _ = look_up(&btf, found);
    }
});

/// Asks for a struct's members as a user of the walker would: by names.
fn look_up(btf: &Btf<'_>, found: Type<'_>) -> Result<(), BtfError> {
    let name = found.name()?;
    let structure = btf.structure(&name)?;
    let _ = structure.size();
    for member in found.members().take(LOOK_UPS) {
        let path = btf.string(member.name)?;
        let _ = structure.find(&path);
        let _ = structure.offset_of(&path, &Shape::Flexible(&Shape::Pointer(&Shape::Atomic(4))));
    }
    Ok(())
}
