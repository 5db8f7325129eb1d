//! Small files that the kernel makes when they are read: /proc, cgroups.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The whole of a small file. Its size is not asked for, which such a file does not know: so most are read by two calls.
pub(crate) fn read_small(path: impl AsRef<Path>) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4096];
    let mut file = File::open(path)?;
    let mut length = 0;
    loop {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if length == bytes.len() {
            bytes.resize(2 * length, 0);
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// The same as text; what is no UTF-8 is an error.
pub(crate) fn read_small_text(path: impl AsRef<Path>) -> std::io::Result<String> {
    String::from_utf8(read_small(path)?).map_err(|_| std::io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_whatever_its_size() {
        assert_eq!(read_small_text("/proc/self/comm").unwrap(), std::fs::read_to_string("/proc/self/comm").unwrap());
        let long = std::env::temp_dir().join(format!("planc-file-{}", std::process::id()));
        std::fs::write(&long, [b'x'; 100_000]).unwrap();
        assert_eq!(read_small(&long).unwrap().len(), 100_000);
        std::fs::remove_file(&long).unwrap();
        assert_eq!(read_small(&long).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    }
}
