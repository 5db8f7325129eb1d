//! What a user is called (passwd(5)). Not by getpwuid(3): what nsswitch.conf(5) may name besides are libraries, which a static
//! program cannot load.

/// The name in /etc/passwd; the first one, where there are several.
pub(crate) fn name_of(uid: u32) -> Option<String> {
    // Names need not be UTF-8.
    let text = std::fs::read("/etc/passwd").ok()?;
    find(&String::from_utf8_lossy(&text), uid)
}

fn find(text: &str, uid: u32) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id.parse() == Ok(uid) && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_counts() {
        let text = "root:x:0:0:root:/root:/bin/sh\n# none\nmalformed:x\n:x:5::\nme:x:5:5::/:\nmyself:x:5:5::/:\n";
        assert_eq!(find(text, 0).as_deref(), Some("root"));
        assert_eq!(find(text, 5).as_deref(), Some("me"));
        assert_eq!(find(text, 6), None);
        assert_eq!(find("", 0), None);
    }
}
