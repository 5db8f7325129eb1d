//! A second opinion, where seccompiler has one: filters of one architecture with one action beside the default.

use std::collections::BTreeMap;

use proptest::prelude::*;
use runtime_core::compile::seccomp::{Machine, program};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use serde_json::json;

use crate::interpreter::{Data, run};
use crate::{X86_64, numbers, profile};

/// A rule: a call by its number and name, and conditions on different arguments.
type Given = ((i64, &'static str), Vec<(u8, usize, u64, u64)>);

const CALLS: [(i64, &str); 6] =
    [(0, "read"), (1, "write"), (62, "kill"), (135, "personality"), (157, "prctl"), (437, "openat2")];
const OPERATORS: [&str; 7] = ["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"];
const VALUES: [u64; 8] = [0, 1, 5, 0xffff_ffff, 1 << 32, 1 << 32 | 5, 1 << 63, u64::MAX];

fn rules() -> impl Strategy<Value = Vec<Given>> {
    let value = prop::sample::select(&VALUES[..]);
    let condition = (0..OPERATORS.len(), value.clone(), value);
    let conditions = prop::collection::btree_map(0..6u8, condition, 0..3);
    let conditions = conditions.prop_map(|map| map.into_iter().map(|(index, (op, a, b))| (index, op, a, b)).collect());
    prop::collection::vec((prop::sample::select(&CALLS[..]), conditions), 0..8)
}

/// What seccompiler makes of it.
fn theirs(rules: &[Given]) -> Vec<u8> {
    let mut map: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for ((number, _), conditions) in rules {
        let condition = |&(index, op, value, two): &(u8, usize, u64, u64)| {
            let (op, value) = match op {
                0 => (SeccompCmpOp::Eq, value),
                1 => (SeccompCmpOp::Ne, value),
                2 => (SeccompCmpOp::Lt, value),
                3 => (SeccompCmpOp::Le, value),
                4 => (SeccompCmpOp::Gt, value),
                5 => (SeccompCmpOp::Ge, value),
                _ => (SeccompCmpOp::MaskedEq(value), two),
            };
            SeccompCondition::new(index, SeccompCmpArgLen::Qword, op, value).unwrap()
        };
        let chain = map.entry(*number).or_default();
        if !conditions.is_empty() {
            chain.push(SeccompRule::new(conditions.iter().map(condition).collect()).unwrap());
        }
    }
    // No chain is no condition.
    for ((number, _), _) in rules.iter().filter(|(_, conditions)| conditions.is_empty()) {
        map.insert(*number, Vec::new());
    }
    let filter = SeccompFilter::new(map, SeccompAction::Allow, SeccompAction::Errno(1), TargetArch::x86_64).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    program.iter().flat_map(|i| [&i.code.to_ne_bytes()[..], &[i.jt, i.jf], &i.k.to_ne_bytes()].concat()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn as_seccompiler_where_it_can(rules in rules(), seed in any::<u64>()) {
        let calls: Vec<_> = rules.iter().map(|((_, name), conditions)| {
            let args: Vec<_> = conditions.iter().map(|(index, op, value, two)| {
                json!({ "index": index, "op": format!("SCMP_CMP_{}", OPERATORS[*op]), "value": value, "valueTwo": two })
            }).collect();
            json!({ "names": [name], "action": "SCMP_ACT_ERRNO", "args": args })
        }).collect();
        let ours = program(&profile(json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls })), Machine::X86_64);
        let (ours, theirs) = (ours.unwrap(), theirs(&rules));
        let mut random = numbers(seed);
        for _ in 0..50 {
            let number = CALLS[random() % CALLS.len()].0 as u32;
            let args = [(); 6].map(|()| VALUES[random() % VALUES.len()].wrapping_add(random() as u64 % 2));
            let data = Data { number, arch: X86_64, args };
            prop_assert_eq!(run(&ours, &data).unwrap().0, run(&theirs, &data).unwrap().0, "{:x?}", data);
        }
    }
}
