//! The filter against a model that knows nothing of tables: the rules, read as the specification words them.

use proptest::prelude::*;
use rbpf::EbpfVmMbuff;

use super::*;
use crate::sys::bpf;

/// A question the kernel asks: type (1 block, 2 character), accesses (1 mknod, 2 read, 4 write), major and minor.
type Question = (u32, u32, u32, u32);

/// What is behind every list of rules, in the words of config.json.
fn with_built_in(rules: &[LinuxDeviceCgroup]) -> Vec<LinuxDeviceCgroup> {
    let built_in = r#"[
        {"allow": true, "type": "c", "access": "m"},
        {"allow": true, "type": "b", "access": "m"},
        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 7, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 8, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 9, "access": "rwm"},
        {"allow": true, "type": "c", "major": 5, "minor": 0, "access": "rwm"},
        {"allow": true, "type": "c", "major": 5, "minor": 2, "access": "rwm"},
        {"allow": true, "type": "c", "major": 136, "access": "rwm"},
        {"allow": true, "type": "c", "major": 10, "minor": 200, "access": "rwm"}
    ]"#;
    [rules.to_vec(), parse(built_in)].concat()
}

/// The model: every access that is asked for must be allowed, and of the rules about one access the last one decides.
fn evaluate(rules: &[LinuxDeviceCgroup], (kind, access, major, minor): Question) -> bool {
    let names =
        |rule: &LinuxDeviceCgroup, letter: char| match rule.typ().map(|kind| kind.as_str().to_owned()).as_deref() {
            None | Some("a") => true,
            Some(name) => {
                (name == if kind == 1 { "b" } else { "c" })
                    && [(rule.major(), major), (rule.minor(), minor)].iter().all(|(of_rule, asked)| {
                        of_rule.is_none_or(|number| number == -1 || number == i64::from(*asked))
                    })
                    && rule.access().as_ref().is_none_or(|letters| letters.contains(letter))
            }
        };
    [('m', 1), ('r', 2), ('w', 4)].iter().filter(|(_, bit)| access & bit != 0).all(|(letter, _)| {
        let last = rules.iter().rev().find(|rule| names(rule, *letter));
        last.is_some_and(LinuxDeviceCgroup::allow)
    })
}

/// What a program answers.
fn ask(program: &[u8], questions: impl IntoIterator<Item = Question>) -> Vec<(Question, bool)> {
    let machine = EbpfVmMbuff::new(Some(program)).unwrap();
    let answer = |question: Question| {
        let (kind, access, major, minor) = question;
        let context = [access << 16 | kind, major, minor].map(u32::to_ne_bytes).concat();
        (question, machine.execute_program(&context, &[]).unwrap() == 1)
    };
    questions.into_iter().map(answer).collect()
}

/// Every question about these numbers.
fn questions(majors: &[u32], minors: &[u32]) -> Vec<Question> {
    let mut all = Vec::new();
    for major in majors {
        for minor in minors {
            all.extend((1..=2).flat_map(|kind| (0..=7).map(move |access| (kind, access, *major, *minor))));
        }
    }
    all
}

fn parse(rules: &str) -> Vec<LinuxDeviceCgroup> {
    serde_json::from_str(rules).unwrap()
}

fn compiled(rules: &str) -> Vec<u8> {
    compile(&parse(rules)).unwrap()
}

fn listing(program: &[u8]) -> String {
    let lines = rbpf::disassembler::to_insn_vec(program);
    lines.iter().enumerate().map(|(number, line)| format!("{number:02} {}\n", line.desc)).collect()
}

/// A question per access, as in "c 1:3 rw".
fn allowed(program: &[u8], device: &str) -> bool {
    let [kind, numbers, letters] = device.split(' ').collect::<Vec<_>>()[..] else { panic!("{device}") };
    let (major, minor) = numbers.split_once(':').unwrap();
    let kind = if kind == "b" { 1 } else { 2 };
    let access = letters.chars().fold(0, |bits, letter| bits | 1 << "mrw".find(letter).unwrap());
    ask(program, [(kind, access, major.parse().unwrap(), minor.parse().unwrap())])[0].1
}

/// What `runc spec` writes, and what Docker, containerd and Podman begin with.
const DEFAULT: &str = r#"[{"allow": false, "access": "rwm"}]"#;

#[test]
fn the_default_filter() {
    let golden = "\
00 ldxw r2, [r1+0x0]
01 ldxw r3, [r1+0x4]
02 ldxw r4, [r1+0x8]
03 jset32 r2, 0x1, +0xe
04 jeq32 r3, 0x88, +0xe
05 jne32 r3, 0x1, +0x6
06 jeq32 r4, 0x3, +0xc
07 jeq32 r4, 0x5, +0xb
08 jeq32 r4, 0x7, +0xa
09 jeq32 r4, 0x8, +0x9
10 jeq32 r4, 0x9, +0x8
11 ja +0x6
12 jne32 r3, 0x5, +0x3
13 jeq32 r4, 0x0, +0x5
14 jeq32 r4, 0x2, +0x4
15 ja +0x2
16 jne32 r3, 0xa, +0x1
17 jeq32 r4, 0xc8, +0x1
18 jset32 r2, 0x60000, +0x2
19 mov64 r0, 0x1
20 exit
21 mov64 r0, 0x0
22 exit
";
    assert_eq!(listing(&compiled(DEFAULT)), golden);
    assert_eq!(compiled("[]"), compiled(DEFAULT), "what no rule names is denied");
}

#[test]
fn rules_that_say_the_same_give_the_same_program() {
    let all = compiled(r#"[{"allow": true}]"#);
    assert_eq!(listing(&all), "00 mov64 r0, 0x1\n01 exit\n");
    for same in [
        r#"[{"allow": true, "type": "a", "access": "r"}]"#,
        r#"[{"allow": true, "type": "a", "major": 1, "minor": 3}]"#,
        r#"[{"allow": true, "type": "c"}, {"allow": true, "type": "b", "major": -1, "minor": -1, "access": "wmr"}]"#,
        r#"[{"allow": false, "type": "b", "major": 8}, {"allow": true}]"#,
        r#"[{"allow": true}, {"allow": false, "type": "c", "major": 1, "minor": 3}]"#,
    ] {
        assert_eq!(compiled(same), all, "{same}");
    }
    for same in [
        r#"[{"allow": true}, {"allow": false}]"#,
        r#"[{"allow": true, "type": "c", "major": 1, "minor": 3}]"#,
        r#"[{"allow": true, "type": "b", "major": 8}, {"allow": false, "type": "b", "major": 8}]"#,
        r#"[{"allow": false, "type": "c", "major": 1, "minor": 4, "access": "w"}]"#,
    ] {
        assert_eq!(compiled(same), compiled(DEFAULT), "{same}");
    }
}

#[test]
fn each_form_of_a_rule() {
    for (rules, yes, no) in [
        (
            DEFAULT,
            "c 1:3 rw, c 5:2 rwm, c 136:7 rw, c 10:200 rw, c 4:4 m, b 8:0 m",
            "c 1:4 r, c 5:1 w, b 1:3 r, b 8:0 rm",
        ),
        (
            r#"[{"allow": true, "type": "b", "major": 8, "minor": 1, "access": "r"}]"#,
            "b 8:1 rm",
            "b 8:1 w, b 8:0 r, c 8:1 r",
        ),
        (r#"[{"allow": true, "type": "c", "major": 4}]"#, "c 4:0 rwm, c 4:4294967295 rw", "c 3:0 r, b 4:0 r"),
        (
            r#"[{"allow": true, "type": "c", "minor": 7, "access": "w"}]"#,
            "c 99:7 w, c 1:7 rw, c 5:7 w",
            "c 99:7 r, c 99:8 w",
        ),
        (r#"[{"allow": true, "type": "b"}]"#, "b 0:0 rwm, b 8:1 rwm", "c 8:1 r"),
        (
            r#"[{"allow": true, "type": "c", "major": 4294967295, "minor": 4294967295}]"#,
            "c 4294967295:4294967295 r",
            "c 4294967295:0 r",
        ),
        // A later rule takes back a part: one access, or one device below a wildcard.
        (
            r#"[{"allow": true, "type": "b", "major": 8}, {"allow": false, "type": "b", "major": 8, "minor": 2, "access": "w"}]"#,
            "b 8:1 rw, b 8:2 rm",
            "b 8:2 w, b 8:2 rw",
        ),
        (r#"[{"allow": true}, {"allow": false, "type": "b", "access": "w"}]"#, "b 8:1 rm, c 4:4 rwm", "b 8:1 w"),
        // The built-in rules are the last ones.
        (r#"[{"allow": true}, {"allow": false, "type": "c"}]"#, "c 1:3 rwm, c 10:200 rw, c 4:4 m, b 8:1 rw", "c 4:4 r"),
    ] {
        let program = compiled(rules);
        yes.split(", ").for_each(|device| assert!(allowed(&program, device), "{rules} allows {device}"));
        no.split(", ").for_each(|device| assert!(!allowed(&program, device), "{rules} denies {device}"));
    }
}

#[test]
fn what_is_refused() {
    for (rule, field, part) in [
        (r#"{"allow": true, "type": "u", "major": 1, "minor": 3}"#, "type", r#""u""#),
        (r#"{"allow": true, "type": "p"}"#, "type", r#""p""#),
        (r#"{"allow": true, "type": "c", "access": "rx"}"#, "access", r#""rx""#),
        (r#"{"allow": false, "type": "c", "access": "x"}"#, "access", r#""x""#),
        (r#"{"allow": true, "type": "c", "access": ""}"#, "access", r#""""#),
        (r#"{"allow": true, "access": "RW"}"#, "access", r#""RW""#),
        (r#"{"allow": true, "type": "c", "major": -2}"#, "major", "-2"),
        (r#"{"allow": true, "type": "c", "minor": 4294967296}"#, "minor", "4294967296"),
        (r#"{"allow": true, "major": -9223372036854775808}"#, "major", "-9223372036854775808"),
    ] {
        // The wrong rule is the second one, and the right one behind it does not mend it.
        let rules = format!(r#"[{{"allow": false}}, {rule}, {{"allow": false}}]"#);
        let invalid = compile(&parse(&rules)).unwrap_err();
        assert_eq!(invalid.origin, format!("/linux/resources/devices/1/{field}"), "{rule}");
        assert!(invalid.why.contains(part) && !invalid.unsupported, "{rule}: {invalid}");
    }
}

/// As runc has it: what the kernel knows no access for cannot be denied, and is not allowed either.
#[test]
fn a_letter_that_names_no_access_is_ignored() {
    let one = r#""type": "c", "major": 1, "minor": 11"#;
    let rules =
        parse(&format!(r#"[{{"allow": false, {one}, "access": "rax"}}, {{"allow": true, {one}, "access": "w"}}]"#));
    let program = compile(&rules).unwrap();
    assert!(allowed(&program, "c 1:11 w") && !allowed(&program, "c 1:11 r"));
    let notes: Vec<String> = ignored(&rules).collect();
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("\"rax\"") && notes[0].ends_with("(/linux/resources/devices/0/access)"), "{notes:?}");
    assert_eq!(ignored(&parse(r#"[{"allow": true}, {"allow": false, "access": "rwm"}]"#)).count(), 0);
}

/// As many rules as `count`, each about a device of its own: by major number, or by minor.
fn long(count: u32, by: &str) -> Vec<LinuxDeviceCgroup> {
    let other = if by == "major" { "minor" } else { "major" };
    let rule = |number| format!(r#"{{"allow": true, "type": "b", "{by}": {number}, "{other}": 7, "access": "r"}}"#);
    parse(&format!("[{}]", (0..count).map(rule).collect::<Vec<_>>().join(",")))
}

#[test]
fn how_many_rules_there_may_be() {
    let (majors, minors) = (compile(&long(1300, "major")).unwrap(), compile(&long(4000, "minor")).unwrap());
    assert!(allowed(&majors, "b 1299:7 r") && !allowed(&majors, "b 1300:7 r"));
    assert!(allowed(&minors, "b 7:3999 r") && !allowed(&minors, "b 7:4000 r"));
    for (count, by) in [(1400, "major"), (4100, "minor"), (10_000, "major"), (10_000, "minor")] {
        let invalid = compile(&long(count, by)).unwrap_err();
        assert_eq!((invalid.origin.as_str(), invalid.unsupported), (ORIGIN, true), "{count} {by}: {invalid}");
    }
}

/// Rules whose numbers meet each other, and meet the built-in ones.
fn rules() -> impl Strategy<Value = Vec<LinuxDeviceCgroup>> {
    let number = || prop_oneof![Just(None), Just(Some(-1)), (0..4_i64).prop_map(Some), Just(Some(u32::MAX.into()))];
    let kind = prop_oneof![1 => Just("a"), 1 => Just(""), 6 => Just("b"), 6 => Just("c")];
    let access = prop_oneof![Just(None), "[rwm]{1,3}".prop_map(Some)];
    let rule = (any::<bool>(), kind, number(), number(), access).prop_map(|(allow, kind, major, minor, access)| {
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(allow).set_major(major).set_minor(minor).set_access(access);
        rule.set_typ((!kind.is_empty()).then(|| kind.parse().unwrap()));
        rule
    });
    prop::collection::vec(rule, 0..12)
}

proptest! {
    #[test]
    fn the_program_answers_as_the_model(rules in rules()) {
        let program = compile(&rules).unwrap();
        let all = with_built_in(&rules);
        for (question, answer) in ask(&program, questions(&[0, 1, 2, 3, 5, 10, 136, 999, u32::MAX], &[0, 1, 2, 3, 5, 200, u32::MAX])) {
            prop_assert_eq!(answer, evaluate(&all, question), "{:?}\n{}", question, listing(&program));
        }
    }
}

#[test]
fn the_kernel_takes_every_program() {
    if let Err(why) = bpf::tests::may_load() {
        return bpf::tests::skip("the_kernel_takes_every_program", &why);
    }
    for long in [long(1300, "major"), long(4000, "minor")] {
        bpf::load_cgroup_device(&compile(&long).unwrap(), bpf::tests::TEST).unwrap();
    }
    proptest!(|(rules in rules())| {
        let program = compile(&rules).unwrap();
        let loaded = bpf::load_cgroup_device(&program, bpf::tests::TEST);
        prop_assert!(loaded.is_ok(), "{:?}\n{}", loaded, listing(&program));
    });
}
