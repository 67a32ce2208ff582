//! What to run and what came of it, told through the environment and a file.

use std::collections::BTreeSet;
use std::io::Write;

/// How many, from a variable of the environment.
pub fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The seed that `one` names, which repeats a run; otherwise as many new ones as `many` says.
pub fn seeds(one: &str, many: &str, default: usize) -> BTreeSet<u64> {
    match std::env::var(one) {
        Ok(seed) => BTreeSet::from([seed.parse().unwrap()]),
        Err(_) => (0..number(many, default)).map(|_| fastrand::u64(..)).collect(),
    }
}

/// Prints a line, also into the file that `make test` and `make soak` show at the end.
pub fn report(line: &str) {
    println!("{line}");
    if let Some(path) = std::env::var_os("FAULT_REPORT") {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        writeln!(file, "{line}").unwrap();
    }
}
