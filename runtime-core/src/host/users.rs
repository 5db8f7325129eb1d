//! What a user is called (passwd(5)). Not by getpwuid(3): what nsswitch.conf(5) may name besides are libraries, which a static
//! program cannot load.

/// Those of /etc/passwd; none where it cannot be read.
#[derive(Debug)]
pub(crate) struct Users(String);

impl Users {
    pub(crate) fn read() -> Self {
        let text = std::fs::read("/etc/passwd").unwrap_or_default();
        // Names need not be UTF-8.
        Self(String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// A user's name; the first one, where there are several.
    pub(crate) fn name_of(&self, uid: u32) -> Option<String> {
        find(&self.0, uid)
    }
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
