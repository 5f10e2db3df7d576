//! Where this kernel's structs have what only `rss-drift run` reads.

use rss_drift_common::run::RunLayout;

use super::btf::{Btf, BtfError, Shape};

/// Resolves all offsets.
///
/// # Errors
/// When a member is missing or not what the known kernels (5.10 to 7.2) have: it is named.
pub(super) fn resolve(btf: &Btf<'_>) -> Result<RunLayout, BtfError> {
    let mm = btf.structure("mm_struct")?;
    let task = btf.structure("task_struct")?;
    let signal = btf.structure("signal_struct")?;
    Ok(RunLayout {
        enabled: 1,
        system: 0,
        mm_users: mm.offset_of("mm_users", &Shape::Atomic(4))?,
        mm_hiwater_rss: mm.offset_of("hiwater_rss", &Shape::Int(8))?,
        task_min_flt: task.offset_of("min_flt", &Shape::Int(8))?,
        task_maj_flt: task.offset_of("maj_flt", &Shape::Int(8))?,
        signal_live: signal.offset_of("live", &Shape::Atomic(4))?,
        signal_maxrss: signal.offset_of("maxrss", &Shape::Int(8))?,
        mm_cpumask: mm
            .offset_of("cpu_bitmap", &Shape::Flexible(&Shape::Int(8)))
            .or_else(|_| mm.offset_of("flexible_array", &Shape::Flexible(&Shape::Int(1))))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets in the kernels of the fixtures (see the layout's tests): another decoder of BTF printed them.
    #[test]
    fn of_real_kernels() {
        let of = |data: &[u8]| {
            let layout = resolve(&Btf::parse(data).unwrap()).unwrap();
            assert_eq!((layout.enabled, layout.signal_live), (1, 4));
            [
                layout.mm_users,
                layout.mm_hiwater_rss,
                layout.task_min_flt,
                layout.task_maj_flt,
                layout.signal_maxrss,
                layout.mm_cpumask,
            ]
        };
        assert_eq!(of(include_bytes!("fixtures/5.10.btf")), [92, 176, 2552, 2560, 592, 1032]);
        assert_eq!(of(include_bytes!("fixtures/6.1.btf")), [84, 176, 2792, 2800, 608, 1096]);
        assert_eq!(of(include_bytes!("fixtures/6.12.btf")), [132, 240, 2792, 2800, 600, 1344]);
        assert_eq!(of(include_bytes!("fixtures/6.18.btf")), [132, 344, 1568, 1576, 600, 1472]);
        assert_eq!(of(include_bytes!("fixtures/7.2.btf")), [132, 592, 3168, 3176, 624, 1728]);
    }
}
