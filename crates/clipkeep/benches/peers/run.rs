//! What the benchmarks share: medians, CPU times, programs.

use std::process::{Command, Output};

/// The middle of what was measured.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// CPU seconds that these processes have used so far.
pub(crate) fn cpu_secs(pids: &[u32]) -> f64 {
    let of = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        // utime and stime, in ticks of 10 ms.
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    };
    pids.iter().map(of).sum()
}

/// Runs a program to its end; says which Debian package brings it.
pub(crate) fn program(command: &mut Command, package: &str) -> Output {
    let name = command.get_program().to_owned();
    let output = command.output().unwrap_or_else(|_| panic!("{name:?} is needed: apt-get install {package}"));
    assert!(output.status.success(), "{name:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
