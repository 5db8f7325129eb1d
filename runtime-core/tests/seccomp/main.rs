//! The seccomp compiler against other opinions: a naive model, libseccomp, seccompiler; and what it makes of profiles that
//! have the shape of the engines' own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod engine_like;
mod interpreter;
mod libseccomp;
mod model;
mod profiles;
mod seccompiler;
mod shape;
#[path = "../../src/compile/seccomp/table.rs"]
#[allow(dead_code, reason = "the compiler's")]
mod table;

use interpreter::{Data, is_valid, run};
use libseccomp::{Answer, Libseccomp};
use oci_spec::runtime::LinuxSeccomp;
use profiles::Mix;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use runtime_core::compile::seccomp::{Machine, program};
use runtime_core::oci_spec;
use serde_json::{Value, json};

pub(crate) const X86_64: u32 = 0xc000_003e;
pub(crate) const X86: u32 = 0x4000_0003;
pub(crate) const AARCH64: u32 = 0xc000_00b7;
pub(crate) const ARM: u32 = 0x4000_0028;
pub(crate) const X32: u32 = 1 << 30;
const KILL: u32 = 0;
const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

fn profile(json: Value) -> LinuxSeccomp {
    serde_json::from_value(json).unwrap()
}

fn compiled(json: Value) -> Vec<u8> {
    let program = program(&profile(json), Machine::X86_64).unwrap();
    assert!(is_valid(&program));
    program
}

fn verdict(program: &[u8], arch: u32, number: u32, args: [u64; 6]) -> u32 {
    run(program, &Data { number, arch, args }).unwrap().0
}

fn main_archs() -> Value {
    json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"])
}

#[test]
fn each_action_is_the_kernels() {
    for (action, errno, wanted) in [
        ("SCMP_ACT_KILL", None, KILL),
        ("SCMP_ACT_KILL_THREAD", None, KILL),
        ("SCMP_ACT_KILL_PROCESS", None, 0x8000_0000),
        ("SCMP_ACT_TRAP", None, 0x0003_0000),
        ("SCMP_ACT_ERRNO", None, EPERM),
        ("SCMP_ACT_ERRNO", Some(0), 0x0005_0000),
        ("SCMP_ACT_ERRNO", Some(4095), 0x0005_0fff),
        ("SCMP_ACT_TRACE", None, 0x7ff0_0001),
        ("SCMP_ACT_TRACE", Some(65535), 0x7ff0_ffff),
        ("SCMP_ACT_LOG", None, 0x7ffc_0000),
        ("SCMP_ACT_NOTIFY", None, 0x7fc0_0000),
    ] {
        let program = compiled(json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["mkdir"], "action": action, "errnoRet": errno }],
        }));
        assert_eq!(verdict(&program, X86_64, 83, [0; 6]), wanted, "{action}");
        assert_eq!(verdict(&program, X86_64, 82, [0; 6]), ALLOW, "{action}");
        if action != "SCMP_ACT_NOTIFY" {
            let program = compiled(json!({ "defaultAction": action, "defaultErrnoRet": errno }));
            assert_eq!(verdict(&program, X86_64, 83, [0; 6]), wanted, "{action} by default");
        }
    }
}

#[test]
fn what_the_filter_is_not_for_is_killed() {
    let native = compiled(json!({ "defaultAction": "SCMP_ACT_ALLOW" }));
    let all = compiled(json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": main_archs() }));
    for (arch, number, only_all) in [(X86_64, 0, false), (X86, 0, true), (X86_64, X32, true), (X86_64, X32 | 500, true)]
    {
        assert_eq!(verdict(&all, arch, number, [0; 6]), ALLOW);
        assert_eq!(verdict(&native, arch, number, [0; 6]), if only_all { KILL } else { ALLOW }, "{arch:x} {number:x}");
    }
    // Of another machine.
    assert_eq!(verdict(&all, AARCH64, 0, [0; 6]), KILL);
    // A tracer's number for a call that is skipped.
    assert_eq!(verdict(&native, X86_64, u32::MAX, [0; 6]), ALLOW);
}

#[test]
fn calls_newer_than_the_profile_are_unknown() {
    let with = |default: &str, errno: Option<u32>| {
        compiled(json!({
            "defaultAction": default, "defaultErrnoRet": errno, "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            // A call of x86_64 alone (openat2 is of all), and one with an argument.
            "syscalls": [
                { "names": ["openat2"], "action": "SCMP_ACT_ALLOW" },
                { "names": ["clone3"], "action": "SCMP_ACT_ALLOW",
                  "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }] },
            ],
        }))
    };
    let errno = with("SCMP_ACT_ERRNO", Some(13));
    for (arch, base) in [(X86_64, 0), (X86_64, X32), (X86, 0)] {
        assert_eq!(verdict(&errno, arch, base | 437, [0; 6]), ALLOW);
        assert_eq!(verdict(&errno, arch, base | 436, [0; 6]), 0x0005_000d, "older ones are denied");
        assert_eq!(verdict(&errno, arch, base | 438, [0; 6]), ENOSYS);
        assert_eq!(verdict(&errno, arch, base | 9999, [0; 6]), ENOSYS);
        assert_eq!(verdict(&with("SCMP_ACT_KILL_PROCESS", None), arch, base | 438, [0; 6]), ENOSYS);
        assert_eq!(verdict(&with("SCMP_ACT_LOG", None), arch, base | 438, [0; 6]), 0x7ffc_0000);
        // An errno that says so already.
        assert_eq!(verdict(&with("SCMP_ACT_ERRNO", Some(38)), arch, base | 436, [0; 6]), ENOSYS);
    }
    // Nothing is named: nothing is newer.
    assert_eq!(verdict(&compiled(json!({ "defaultAction": "SCMP_ACT_ERRNO" })), X86_64, 5000, [0; 6]), EPERM);
}

#[test]
fn arms_own_calls_are_not_newer_than_others() {
    let json = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_ARM"],
        "syscalls": [{ "names": ["read", "openat2", "set_tls"], "action": "SCMP_ACT_ALLOW" }],
    });
    let program = program(&profile(json), Machine::Aarch64).unwrap();
    assert_eq!(verdict(&program, AARCH64, 63, [0; 6]), ALLOW);
    assert_eq!(verdict(&program, ARM, 3, [0; 6]), ALLOW);
    assert_eq!(verdict(&program, ARM, 0xf_0005, [0; 6]), ALLOW);
    assert_eq!(verdict(&program, ARM, 436, [0; 6]), EPERM);
    for number in [438, 0xf_0001, 0xf_0006] {
        assert_eq!(verdict(&program, ARM, number, [0; 6]), ENOSYS, "{number}");
    }
}

#[test]
fn a_call_that_others_go_through_is_not_newer() {
    let program = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [{ "names": ["read", "accept"], "action": "SCMP_ACT_ALLOW" }],
    }));
    // accept, bind; ipc, and a call between.
    assert_eq!(verdict(&program, X86, 102, [5, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(verdict(&program, X86, 102, [2, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(verdict(&program, X86, 117, [0; 6]), ENOSYS);
    assert_eq!(verdict(&program, X86, 66, [0; 6]), ENOSYS);
}

#[test]
fn a_rule_without_conditions_counts_more() {
    let arg = json!([{ "index": 0, "value": 7, "op": "SCMP_CMP_EQ" }]);
    for (first, second) in [(json!(null), arg.clone()), (arg, json!(null))] {
        let errno = |args: Value, errno| json!({ "names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": args });
        let plain = if first.is_null() { 1 } else { 2 };
        let program = compiled(json!({
            "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [errno(first, 1), errno(second, 2), errno(json!(null), 9)],
        }));
        assert_eq!(verdict(&program, X86_64, 62, [7; 6]), 0x0005_0000 | if plain == 1 { 1 } else { 2 });
    }
}

#[test]
fn two_comparisons_of_one_argument_are_two_rules() {
    let arg = |index: u32, value: u64| json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" });
    let with = |args: Value| {
        compiled(json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{ "names": ["kill"], "action": "SCMP_ACT_ALLOW", "args": args }],
        }))
    };
    let both = with(json!([arg(0, 1), arg(1, 2)]));
    assert_eq!(verdict(&both, X86_64, 62, [1, 2, 0, 0, 0, 0]), ALLOW);
    assert_eq!(verdict(&both, X86_64, 62, [1, 3, 0, 0, 0, 0]), EPERM);
    let any = with(json!([arg(0, 1), arg(0, 5), arg(1, 2)]));
    for (args, wanted) in
        [([1, 0], ALLOW), ([5, 0], ALLOW), ([0, 2], ALLOW), ([0, 0], EPERM), ([1 << 32 | 1, 0], EPERM)]
    {
        assert_eq!(verdict(&any, X86_64, 62, [args[0], args[1], 0, 0, 0, 0]), wanted, "{args:?}");
    }
}

#[test]
fn a_program_too_long_is_refused() {
    let calls: Vec<Value> = (0..3000u64)
        .map(|value| {
            json!({ "names": ["kill"], "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 0, "value": value << 32 | value, "op": "SCMP_CMP_EQ" }] })
        })
        .collect();
    let refused = program(&profile(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": calls })), Machine::X86_64);
    let invalid = refused.unwrap_err();
    assert_eq!(invalid.origin, "/linux/seccomp");
    assert!(invalid.why.contains("4096"), "{invalid}");
}

#[test]
fn what_a_profile_cannot_have() {
    let call = |key: &str, value: Value| {
        let mut call = json!({ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO" });
        call[key] = value;
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["kill"], "action": "SCMP_ACT_KILL" }, call] })
    };
    let arg = |value: u64| json!([{ "index": 0, "value": value, "op": "SCMP_CMP_EQ" }]);
    let twice = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        { "names": ["mkdir", "kill"], "action": "SCMP_ACT_ERRNO", "args": arg(1) },
        { "names": ["kill"], "action": "SCMP_ACT_TRAP", "args": arg(1) },
    ] });
    for (json, origin) in [
        (json!({ "defaultAction": "SCMP_ACT_NOTIFY" }), "/linux/seccomp/defaultAction"),
        (json!({ "defaultAction": "SCMP_ACT_KILL", "defaultErrnoRet": 1 }), "/linux/seccomp/defaultErrnoRet"),
        (json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096 }), "/linux/seccomp/defaultErrnoRet"),
        (call("names", json!([])), "/linux/seccomp/syscalls/1/names"),
        (call("names", json!(["read", ""])), "/linux/seccomp/syscalls/1/names/1"),
        (call("errnoRet", json!(4096)), "/linux/seccomp/syscalls/1/errnoRet"),
        (
            call("args", json!([{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }])),
            "/linux/seccomp/syscalls/1/args/0/index",
        ),
        (twice, "/linux/seccomp/syscalls/1/action"),
    ] {
        assert_eq!(program(&profile(json.clone()), Machine::X86_64).unwrap_err().origin, origin, "{json}");
    }
}

/// How many calls each random profile is asked about.
const CALLS: usize = 50;

/// How many cases: calls of random profiles. `SECCOMP_CASES` says otherwise.
fn cases() -> usize {
    std::env::var("SECCOMP_CASES").map_or(20_000, |cases| cases.parse().expect("SECCOMP_CASES is no number"))
}

/// Numbers that are the same in each run (splitmix64).
fn numbers(mut seed: u64) -> impl FnMut() -> usize {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = seed;
        number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ number >> 31) as usize
    }
}

fn native(machine: Machine) -> u32 {
    match machine {
        Machine::X86_64 => X86_64,
        Machine::Aarch64 => AARCH64,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_program_does_what_the_profile_means(
        (machine, profile) in prop::sample::select(vec![Machine::X86_64, Machine::Aarch64])
            .prop_flat_map(|machine| (Just(machine), profiles::any(machine, Mix::Any))),
        seed in any::<u64>(),
    ) {
        // Two rules that contradict each other.
        let Ok(program) = program(&profile, machine) else { return Ok(()) };
        prop_assert!(is_valid(&program));
        let mut random = numbers(seed);
        for _ in 0..CALLS {
            let data = profiles::call(&profile, machine, &mut random);
            let wanted = model::verdict(&profile, native(machine), &data);
            prop_assert_eq!(run(&program, &data).unwrap().0, wanted, "{:x?}", data);
        }
    }
}

/// What differed from libseccomp, and why that is so.
#[derive(Debug, Default)]
struct Differences {
    cases: usize,
    /// Profiles that libseccomp or the compiler refuses.
    refused: usize,
    /// Profiles on which libseccomp does not end.
    endless: usize,
    /// Cases in which libseccomp, asked about each rule alone, says what the program does, and forgets it when asked about
    /// all.
    forgotten: usize,
    /// Cases in which several rules match, and libseccomp takes another one.
    reordered: usize,
    unexplained: Vec<String>,
}

impl Differences {
    fn note(
        &mut self,
        libseccomp: &mut Libseccomp,
        profile: &LinuxSeccomp,
        machine: Machine,
        data: &Data,
        theirs: u32,
    ) {
        let default = libseccomp::action(profile.default_action(), profile.default_errno_ret());
        let ours = model::verdict(profile, native(machine), data);
        // What libseccomp says of each rule alone.
        let mut alone = Vec::new();
        for (args, action) in model::alternatives(profile, data) {
            let mut one = profile.clone();
            let call = profile
                .syscalls()
                .iter()
                .flatten()
                .find(|call| libseccomp::action(call.action(), call.errno_ret()) == action);
            let mut call = call.unwrap().clone();
            call.set_names(vec![model::name(data).unwrap()]).set_args(Some(args));
            one.set_syscalls(Some(vec![call]));
            match libseccomp.compile(&one, machine).0 {
                Answer::Program(program) => alone.push(run(&program, data).unwrap().0),
                Answer::Refused | Answer::Endless => {}
            }
        }
        alone.retain(|action| *action != default);
        let is_ours = if alone.is_empty() { ours == default } else { alone.contains(&ours) };
        match (is_ours, alone.contains(&theirs)) {
            (true, true) => self.reordered += 1,
            (true, false) => self.forgotten += 1,
            _ => self
                .unexplained
                .push(format!("{data:x?}: {ours:x}, libseccomp {theirs:x}, alone {alone:x?}\n{profile:?}")),
        }
    }
}

/// Compares with libseccomp over random profiles.
fn compare(mix: Mix, seed: u64) -> Option<Differences> {
    let mut libseccomp = Libseccomp::start()?;
    let mut differences = Differences::default();
    let mut random = numbers(seed);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed as u8; 32]);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    while differences.cases < cases() {
        let machine = if random().is_multiple_of(3) { Machine::Aarch64 } else { Machine::X86_64 };
        let profile = profiles::any(machine, mix).new_tree(&mut runner).unwrap().current();
        let (ours, theirs) = (program(&profile, machine), libseccomp.compile(&profile, machine).0);
        let (ours, theirs) = match (ours, theirs) {
            (Ok(ours), Answer::Program(theirs)) => (ours, theirs),
            (_, Answer::Endless) => {
                differences.endless += 1;
                continue;
            }
            _ => {
                differences.refused += 1;
                continue;
            }
        };
        for _ in 0..CALLS {
            differences.cases += 1;
            let data = profiles::call(&profile, machine, &mut random);
            let (ours, theirs) = (run(&ours, &data).unwrap().0, run(&theirs, &data).unwrap().0);
            if ours != theirs && !(model::is_newer(&profile, &data) && ours == ENOSYS) {
                differences.note(&mut libseccomp, &profile, machine, &data, theirs);
            }
        }
    }
    Some(differences)
}

#[test]
fn as_libseccomp_where_a_calls_rules_have_one_action() {
    let Some(differences) = compare(Mix::OneAction, 1) else { return };
    report(&differences);
    assert_eq!(differences.unexplained, [""; 0]);
    assert_eq!(differences.reordered, 0);
}

#[test]
fn as_libseccomp_whatever_the_rules() {
    let Some(differences) = compare(Mix::Any, 2) else { return };
    report(&differences);
    assert_eq!(differences.unexplained, [""; 0]);
}

#[expect(clippy::print_stderr, reason = "what differs is said")]
fn report(differences: &Differences) {
    let Differences { cases, refused, endless, forgotten, reordered, .. } = differences;
    eprintln!(
        "{cases} cases: in {forgotten} libseccomp forgets a rule, in {reordered} it takes another one that matches; profiles: \
         {refused} refused, {endless} on which libseccomp does not end"
    );
}
