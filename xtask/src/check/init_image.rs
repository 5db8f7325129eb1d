//! The embedded program: its size, and that no panic can be reached in it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Outcome, limits};
use crate::elf::Elf;
use crate::run::Result;

pub(super) fn gates(planc: &Path) -> Vec<Outcome> {
    match newest(planc)
        .and_then(|path| Ok((std::fs::read(&path).map_err(|why| format!("{}: {why}", path.display()))?, path)))
    {
        Err(why) => vec![Outcome::Fail(format!("init: {why}"))],
        Ok((image, path)) => {
            let place = path.display().to_string();
            vec![Outcome::counted("init, bytes", image.len() as u64, limits::INIT_BYTES, &place), panic_free(&image)]
        }
    }
}

/// The `init` in the newest release build of runtime-core, of which `planc` is a part.
fn newest(planc: &Path) -> Result<PathBuf> {
    let build = planc.with_file_name("build");
    let entries = std::fs::read_dir(&build).map_err(|why| format!("{}: {why}", build.display()))?;
    let images = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("runtime-core-"));
    let images = images.map(|entry| entry.path().join("out/init"));
    let changed = |path: &PathBuf| -> Option<SystemTime> { path.metadata().ok()?.modified().ok() };
    let newest = images.filter(|path| path.is_file()).max_by_key(changed);
    newest.ok_or_else(|| format!("no runtime-core-*/out/init in {}", build.display()))
}

/// Every panic of core that is linked in brings its location: a path that ends in `.rs`. The link itself fails on a
/// panic handler that is called; this looks at the result, in what the kernel would load.
fn panic_free(image: &[u8]) -> Outcome {
    let Some(loaded) = Elf::parsed(image).and_then(|elf| elf.loaded()) else {
        return Outcome::Fail("init: not a 64-bit little-endian ELF file".to_owned());
    };
    let signs: [&[u8]; 3] = [b".rs\0", b"core::panicking", b"called `"];
    // Locations are not terminated by NUL; a path is recognised by its folder.
    let location =
        |text: &[u8]| text.windows(4).any(|part| part == b"src/") && text.windows(3).any(|part| part == b".rs");
    let found = loaded.iter().any(|text| location(text) || signs.iter().any(|sign| holds(text, sign)));
    if found {
        Outcome::Fail("init: holds the location or the text of a panic".to_owned())
    } else {
        Outcome::Ok("init: no location or text of a panic".to_owned())
    }
}

fn holds(text: &[u8], sign: &[u8]) -> bool {
    text.windows(sign.len()).any(|part| part == sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file of one loaded segment that holds `text`.
    fn image(text: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 64 + 56];
        image[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        image[32] = 64;
        image[54] = 56;
        image[56] = 1;
        image[64] = 1;
        image[64 + 8] = 120;
        image[64 + 32..64 + 40].copy_from_slice(&(text.len() as u64).to_le_bytes());
        image.extend_from_slice(text);
        image
    }

    #[test]
    fn a_panic_is_recognised_by_its_location() {
        assert!(matches!(panic_free(&image(b"/proc/self/fd\0")), Outcome::Ok(_)));
        assert!(matches!(panic_free(&image(b"library/core/src/slice/index.rs")), Outcome::Fail(_)));
        assert!(matches!(panic_free(&image(b"called `Option::unwrap()`")), Outcome::Fail(_)));
    }

    #[test]
    fn what_is_no_elf_file_is_not_judged_free() {
        assert!(matches!(panic_free(b""), Outcome::Fail(_)));
        assert!(matches!(panic_free(&image(b"x")[..100]), Outcome::Fail(_)));
    }

    #[test]
    fn this_program_itself_holds_panics() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(matches!(panic_free(&own), Outcome::Fail(_)));
    }
}
