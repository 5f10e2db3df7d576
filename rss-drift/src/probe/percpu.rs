//! Each CPU's `__per_cpu_offset`, from where the elements of a per-CPU map lie.

use rss_drift_common::record::CpuRecord;

/// The offsets of `possible` CPUs, in their order.
///
/// # Errors
/// The first CPU of which `records` says nothing.
pub(super) fn offsets(records: &[CpuRecord], possible: &[u32]) -> Result<Vec<u64>, u32> {
    possible
        .iter()
        .map(|&cpu| {
            records
                .iter()
                .find(|record| record.cpu == u64::from(cpu) && record.element != 0)
                // Per-CPU pointers are offsets that wrap: the kernel adds them without a carry too.
                .map(|record| record.element.wrapping_sub(record.pointer))
                .ok_or(cpu)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_element_minus_pointer() {
        let records = [
            CpuRecord { cpu: 0, element: 0xffff_8881_0000_1000, pointer: 0x1000 },
            CpuRecord { cpu: 1, element: 0, pointer: 0x1000 },
            CpuRecord { cpu: 2, element: 0x500, pointer: 0x1000 },
        ];
        assert_eq!(
            offsets(&records, &[0, 2]),
            Ok(vec![0xffff_8881_0000_0000, 0x500_u64.wrapping_sub(0x1000)])
        );
        assert_eq!(offsets(&records, &[0, 1]), Err(1));
        assert_eq!(offsets(&records, &[3]), Err(3));
    }
}
