//! Where and when figures were measured: without that they say nothing.

use std::{fs, time::SystemTime};

use anyhow::{Context as _, Result};

/// One line: date, kernel, CPUs and how busy they are now.
pub(crate) fn describe() -> Result<String> {
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let kernel = read("/proc/sys/kernel/osrelease")?;
    let cpus = read("/proc/cpuinfo")?;
    let load = read("/proc/loadavg")?;
    let (count, model) = count_cpus(&cpus);
    Ok(format!(
        "{}, Linux {}, {count} CPUs ({model}), load average {} at the start.",
        date.split('T').next().unwrap_or(&date),
        kernel.trim(),
        load.split(' ').next().unwrap_or("unknown"),
    ))
}

/// The memory of this host in bytes.
pub(crate) fn memory() -> Result<f64> {
    let text = read("/proc/meminfo")?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
    let kib = kib.and_then(|kib| kib.parse::<f64>().ok()).context("/proc/meminfo has no MemTotal")?;
    Ok(kib * 1024.0)
}

/// CPUs and the first one's model in the text of `/proc/cpuinfo`.
fn count_cpus(text: &str) -> (usize, &str) {
    let field = |line: &'_ str| line.split_once(':').map(|(name, _)| name.trim().to_owned());
    let count = text.lines().filter(|line| field(line).as_deref() == Some("processor")).count();
    let model = text.lines().find(|line| field(line).as_deref() == Some("model name"));
    (
        count,
        model.and_then(|line| line.split_once(':')).map_or("of an unknown model", |(_, model)| model.trim()),
    )
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_counted() {
        let text = "processor\t: 0\nmodel name\t: Fast CPU\n\nprocessor\t: 1\nmodel name\t: Fast CPU\n";
        assert_eq!(count_cpus(text), (2, "Fast CPU"));
        assert_eq!(count_cpus(""), (0, "of an unknown model"));
    }
}
