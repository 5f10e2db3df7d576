//! Links the calls of kernel functions in our object: aya knows helpers, which have fixed numbers, but not functions of the
//! kernel (kfuncs), whose numbers are those of the running kernel's BTF.

use rss_drift_common::RDONLY_CAST;

/// Bytes of an instruction (`include/uapi/linux/bpf.h:bpf_insn`): code, registers, offset, immediate.
const INSTRUCTION: usize = 8;
/// `BPF_JMP | BPF_CALL`
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL` as source register, in the upper half of the registers' byte.
const KFUNC: u8 = 2 << 4;

/// The object with every call that is marked [`RDONLY_CAST`] directed to the function of this number in the kernel's BTF. 0 is
/// none: the verifier lets such a call stand where it is never reached (`kernel/bpf/verifier.c:add_kfunc_call`).
///
/// Words of 8 bytes, because aya wants the object aligned.
pub(super) fn link(object: &[u8], rdonly_cast: u32) -> Vec<u64> {
    let [a, b, c, d] = RDONLY_CAST.to_le_bytes();
    let marked = [CALL, 0, 0, 0, a, b, c, d];
    let [a, b, c, d] = rdonly_cast.to_le_bytes();
    let call = [CALL, KFUNC, 0, 0, a, b, c, d];
    // Instructions are aligned to their size.
    let linked = object.chunks(INSTRUCTION).map(|bytes| {
        let mut word = [0; INSTRUCTION];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_ne_bytes(if word == marked { call } else { word })
    });
    linked.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_calls_are_linked() {
        let mark = RDONLY_CAST.to_le_bytes();
        let helper = [CALL, 0, 0, 0, 113, 0, 0, 0];
        let mut marked = helper;
        marked[4..].copy_from_slice(&mark);
        let object = [helper, marked, [0; INSTRUCTION]].concat();
        let linked = link(&object, 77);
        assert_eq!(
            bytemuck::cast_slice::<_, u8>(&linked),
            [helper, [CALL, 0x20, 0, 0, 77, 0, 0, 0], [0; INSTRUCTION]].concat()
        );
    }
}
