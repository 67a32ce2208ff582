//! The file itself: how it comes to be, and whether the volume takes anything.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

/// Name of the log's file.
pub const NAME: &str = "events.redb";
/// What the volume is tried with before the log is.
const PROBE: &str = "probe";
const PROBE_BYTES: usize = 64 << 10;
/// What every complete file begins with.
const MAGIC: &[u8] = b"redb";
/// Where the first data can be; before is the header.
const HEADER_BYTES: usize = 4096;
/// No file without data is larger.
const EMPTY_BYTES: u64 = 64 << 20;

/// Makes the folder, and removes a file whose creation was cut short. Says whether a new file has to be made.
pub fn prepare(dir: &Path) -> io::Result<bool> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join(NAME);
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
        Ok(metadata) if metadata.len() > EMPTY_BYTES || !metadata.is_file() => return Ok(false),
        Ok(metadata) if metadata.len() == 0 => return Ok(true),
        Ok(_) => {}
    }
    if !was_never_used(&path)? {
        return Ok(false);
    }
    tracing::warn!("the log's creation was cut short before anything was stored, it is made anew");
    std::fs::remove_file(&path)?;
    Ok(true)
}

// The library writes what a file begins with after everything else, so a file without it in which no page was ever written holds
// nothing. Anything else without it is a damaged file, and is left for a person to look at.
fn was_never_used(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut header = Vec::with_capacity(HEADER_BYTES);
    Read::by_ref(&mut file)
        .take(HEADER_BYTES as u64)
        .read_to_end(&mut header)?;
    if header.starts_with(MAGIC) {
        return Ok(false);
    }
    let (mut chunk, mut all_zero) = (vec![0; 1 << 20], true);
    while all_zero {
        match file.read(&mut chunk)? {
            0 => return Ok(true),
            length => all_zero = chunk.iter().take(length).all(|byte| *byte == 0),
        }
    }
    Ok(false)
}

/// Makes a new file's name survive a power loss, as its content does.
pub fn sync_name(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Whether the volume takes anything. A failed write to the log would mean that it has to be opened and checked again.
pub fn probe(dir: &Path) -> io::Result<()> {
    let path = dir.join(PROBE);
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![1; PROBE_BYTES])?;
        file.sync_all()
    });
    let removed = std::fs::remove_file(&path);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_in_which_nothing_was_ever_stored_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let content = |start: &[u8], end: u8| {
            let mut content = vec![0; 2 << 20];
            content[..start.len()].copy_from_slice(start);
            *content.last_mut().unwrap() = end;
            content
        };
        for (content, anew) in [
            (vec![], true),
            (vec![0], true),
            (content(&[0; 9], 0), true),
            (content(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 7], 0), true),
            (content(&[0; 9], 7), false),
            (content(b"redb\x1a\x0a\xa9\x0d\x0a", 0), false),
            (content(b"other", 7), false),
        ] {
            std::fs::write(&path, &content).unwrap();
            assert_eq!(prepare(dir.path()).unwrap(), anew, "{:?}", content.get(..12));
            assert_eq!(path.exists(), content.is_empty() || !anew);
        }
        std::fs::remove_file(&path).ok();
        assert!(prepare(dir.path()).unwrap());
        probe(dir.path()).unwrap();
        assert!(probe(&dir.path().join("nowhere")).is_err());
    }
}
