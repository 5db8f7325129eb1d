//! Where runc does not do what the runtime-spec asks for. With RUNTIME=runc these tests must fail, and as said here.

/// A test that runc fails.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// The test's name.
    pub test: &'static str,
    /// What runc does, and which section of the runtime-spec asks for something else.
    pub reason: &'static str,
    /// What the failure must say, so that another one is not taken for it.
    pub shows: &'static str,
}

/// All of them. At most five: more would be a suite that runc was never measured with.
pub const RUNC: &[Exception] = &[];

const _: () = assert!(RUNC.len() <= 5);

/// The exception of a test.
pub fn of(test: &str) -> Option<&'static Exception> {
    RUNC.iter().find(|exception| exception.test == test)
}
