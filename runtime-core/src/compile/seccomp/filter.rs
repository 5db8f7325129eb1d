//! A profile as decisions: first the architecture, then the number by a search tree over ranges of numbers with the same
//! outcome, then the arguments.

use std::cmp::Reverse;

use oci_spec::runtime::LinuxSeccompOperator as Operator;

use super::super::{Invalid, below};
use super::arch::{Arch, X32};
use super::graph::{Compare, Graph, Id, Question, Word};
use super::profile::{Condition, ENOSYS, KILL_THREAD, Profile, Rule, pointer};

/// A rule for one call of one architecture.
#[derive(Clone, Copy)]
struct Entry<'p> {
    number: u32,
    /// `None` where the number is only named.
    rule: Option<&'p Rule>,
    /// Of a call that stands for many: which of them the first argument has to say.
    call: Option<u64>,
}

/// What is done with the numbers from this one on, up to those of the next.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    start: u32,
    outcome: Id,
    /// How many calls it holds.
    weight: u32,
}

impl Range {
    fn is_any(&self) -> bool {
        self.weight != 0
    }
}

/// The decision that a filter begins with.
pub(super) fn decide(graph: &mut Graph, profile: &Profile) -> Result<Id, Invalid> {
    // libseccomp's action for what the filter is not for, which no profile can name.
    let mut decision = graph.finish(KILL_THREAD);
    let mut archs = profile.archs.clone();
    archs.retain(|arch| *arch != Arch::X32);
    // The machine's own is the first, and asked for first.
    for arch in archs.into_iter().rev() {
        let numbers = numbers(graph, profile, arch)?;
        let question = Question { word: Word::ARCH, compare: Compare::Equal, with: arch.audit() };
        decision = graph.join(question, numbers, decision);
    }
    Ok(decision)
}

/// The decision for an architecture: that for x86_64 is for x32 as well.
fn numbers(graph: &mut Graph, profile: &Profile, arch: Arch) -> Result<Id, Invalid> {
    let mut ranges = ranges(graph, profile, arch, 0)?;
    if arch == Arch::X86_64 {
        ranges.retain(|range| range.start < X32);
        if profile.archs.contains(&Arch::X32) {
            ranges.extend(self::ranges(graph, profile, Arch::X32, X32)?);
        } else {
            ranges.push(Range { start: X32, outcome: graph.finish(KILL_THREAD), weight: 0 });
            // A tracer skips a call by this number (seccomp(2)).
            ranges.push(Range { start: u32::MAX, outcome: graph.finish(profile.default), weight: 0 });
        }
    }
    ranges.dedup_by(|next, range| {
        let is_same = next.outcome == range.outcome;
        if is_same {
            range.weight += next.weight;
        }
        is_same
    });
    Ok(search(graph, &groups(&ranges)))
}

/// The ranges of one architecture's numbers, which begin at `first`.
fn ranges(graph: &mut Graph, profile: &Profile, arch: Arch, first: u32) -> Result<Vec<Range>, Invalid> {
    let (entries, last) = entries(profile, arch);
    let default = graph.finish(profile.default);
    let enosys = graph.finish(ENOSYS);
    let mut new = last.filter(|last| *last > 0 && profile.hides_new).map(|last| last + 1);
    let mut unnamed = default;
    let mut starts = vec![(first, default)];
    for entries in entries.chunk_by(|one, other| one.number == other.number) {
        let Some(Entry { number, .. }) = entries.first().copied() else { continue };
        if let Some(new) = new.take_if(|new| *new <= number) {
            unnamed = enosys;
            starts.push((new, enosys));
        }
        starts.push((number, outcome(graph, profile, arch, entries)?));
        starts.push((number + 1, unnamed));
    }
    starts.extend(new.map(|new| (new, enosys)));
    let ends = starts.iter().skip(1).map(|(start, _)| Some(*start)).chain([None]);
    let range = |(&(start, outcome), end): (&(u32, Id), Option<u32>)| Range {
        start,
        outcome,
        weight: end.map_or(1, |end| end - start),
    };
    // Of two that begin at the same number, the former is empty.
    Ok(starts.iter().zip(ends).map(range).filter(Range::is_any).collect())
}

/// The rules for each number, by number and then in their order; and the highest number that the profile names: newer calls
/// are those above.
fn entries(profile: &Profile, arch: Arch) -> (Vec<Entry<'_>>, Option<u32>) {
    let mut entries = Vec::new();
    let mut last = None;
    for rule in &profile.rules {
        // As with libseccomp, one that does what is done anyway stands in no other's way.
        let own = Some(rule).filter(|rule| rule.action != profile.default);
        for name in &rule.calls {
            if let Some(number) = name.number(arch) {
                last = last.max(Some(number).filter(|number| arch.is_ordered(*number)));
                entries.push(Entry { number, rule: own, call: None });
            }
            if let Some((number, call)) = name.multiplexed.filter(|_| arch == Arch::X86) {
                entries.push(Entry { number, rule: own, call: Some(call) });
            }
        }
    }
    // By keys of one word, which is several times as fast as by entries.
    let keys = (0..).zip(&entries).map(|(place, entry)| u64::from(entry.number) << 32 | place);
    let mut keys: Vec<u64> = keys.collect();
    keys.sort_unstable();
    let sorted = keys.into_iter().filter_map(|key| entries.get(key as u32 as usize).copied());
    (sorted.collect(), last)
}

/// One alternative of a rule, ready to be put in order.
struct Alternative<'p> {
    conditions: Vec<Condition>,
    rule: &'p Rule,
}

/// What is done with a call. A rule without conditions counts more than all others, and of several the first. Of the
/// others, those that ask for less come later.
fn outcome(graph: &mut Graph, profile: &Profile, arch: Arch, entries: &[Entry<'_>]) -> Result<Id, Invalid> {
    let mut alternatives = Vec::new();
    for (rule, call) in entries.iter().filter_map(|entry| Some((entry.rule?, entry.call))) {
        for conditions in &rule.any_of {
            let conditions = fitting(arch, conditions, call);
            if conditions.is_empty() {
                return Ok(graph.finish(rule.action));
            }
            alternatives.push(Alternative { conditions, rule });
        }
    }
    alternatives.sort_by_cached_key(|alternative| alternative.conditions.iter().map(order).collect::<Vec<_>>());
    alternatives.dedup_by(|next, kept| next.conditions == kept.conditions && next.rule.action == kept.rule.action);
    if arch.is_wide() {
        contradictions(&alternatives)?;
    }
    let mut decision = graph.finish(profile.default);
    for Alternative { conditions, rule } in alternatives.iter().rev() {
        let mut matched = graph.finish(rule.action);
        for condition in conditions.iter().rev() {
            matched = compare(graph, arch, condition, matched, decision);
        }
        decision = matched;
    }
    Ok(decision)
}

/// A rule's conditions as this architecture can have them, without those that always hold.
fn fitting(arch: Arch, conditions: &[Condition], call: Option<u64>) -> Vec<Condition> {
    let width = if arch.is_wide() { u64::MAX } else { u32::MAX.into() };
    // The call's own arguments are in memory, where no filter sees them.
    let first = call.map(|call| Condition { argument: 0, operator: Operator::ScmpCmpEq, mask: width, value: call });
    let others = conditions.iter().filter(|condition| call.is_none() || condition.argument != 0).copied();
    let fit =
        |condition: Condition| Condition { mask: condition.mask & width, value: condition.value & width, ..condition };
    first.into_iter().chain(others.map(fit)).filter(|condition| condition.mask != 0).collect()
}

/// The order of libseccomp's tree: by argument, the last first; then what is equal, less and greater; then the narrower.
fn order(condition: &Condition) -> (Reverse<u8>, u8, u64) {
    let (class, narrow) = match condition.operator {
        Operator::ScmpCmpEq | Operator::ScmpCmpNe | Operator::ScmpCmpMaskedEq => (0, !condition.value),
        Operator::ScmpCmpLt | Operator::ScmpCmpLe => (1, condition.value),
        Operator::ScmpCmpGt | Operator::ScmpCmpGe => (2, !condition.value),
    };
    (Reverse(condition.argument), class, narrow)
}

/// The same conditions and another action: which of the two is meant nobody can say.
fn contradictions(alternatives: &[Alternative<'_>]) -> Result<(), Invalid> {
    for pair in alternatives.windows(2) {
        let [one, other] = pair else { continue };
        if one.conditions == other.conditions {
            let (one, other) = (one.rule.index, other.rule.index);
            let why = format!("it has the conditions of {}, and another action", pointer(one.min(other)));
            return Err(Invalid::new(below(&pointer(one.max(other)), "action"), why));
        }
    }
    Ok(())
}

/// One of two decisions, by a comparison of an argument.
fn compare(graph: &mut Graph, arch: Arch, condition: &Condition, yes: Id, no: Id) -> Id {
    let Condition { argument, operator, mask, value } = *condition;
    let (high, low) = (Word::high(argument), Word::low(argument));
    let wide = arch.is_wide();
    let mut equal = |yes, no| {
        let yes = masked(graph, low, mask as u32, value as u32, yes, no);
        if wide { masked(graph, high, (mask >> 32) as u32, (value >> 32) as u32, yes, no) } else { yes }
    };
    match operator {
        Operator::ScmpCmpEq | Operator::ScmpCmpMaskedEq => equal(yes, no),
        Operator::ScmpCmpNe => equal(no, yes),
        Operator::ScmpCmpGt => above(graph, wide, Compare::Greater, condition, yes, no),
        Operator::ScmpCmpGe => above(graph, wide, Compare::AtLeast, condition, yes, no),
        Operator::ScmpCmpLt => above(graph, wide, Compare::AtLeast, condition, no, yes),
        Operator::ScmpCmpLe => above(graph, wide, Compare::Greater, condition, no, yes),
    }
}

/// Whether the bits of a mask are those of a value.
fn masked(graph: &mut Graph, word: Word, mask: u32, value: u32, yes: Id, no: Id) -> Id {
    match (mask, value) {
        (0, _) => yes,
        (u32::MAX, _) => graph.ask(Question { word, compare: Compare::Equal, with: value }, yes, no),
        (_, 0) => graph.ask(Question { word, compare: Compare::AnyBit, with: mask }, no, yes),
        _ => graph.ask(Question { word: word.masked(mask), compare: Compare::Equal, with: value }, yes, no),
    }
}

/// Whether an argument is greater: in the upper half, or there equal and in the lower half.
fn above(graph: &mut Graph, wide: bool, compare: Compare, condition: &Condition, yes: Id, no: Id) -> Id {
    let value = condition.value;
    let low = Question { word: Word::low(condition.argument), compare, with: value as u32 };
    let low = graph.ask(low, yes, no);
    if !wide {
        return low;
    }
    let high = |compare| Question { word: Word::high(condition.argument), compare, with: (value >> 32) as u32 };
    let equal = graph.ask(high(Compare::Equal), low, no);
    graph.ask(high(Compare::Greater), yes, equal)
}

/// Ranges of which one question tells the outcome, once a number is known to be in one of them.
struct Group {
    start: u32,
    weight: u32,
    outcome: Id,
    /// A single number with another outcome.
    but: Option<(u32, Id)>,
}

fn groups(ranges: &[Range]) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut rest = ranges;
    while let [range, others @ ..] = rest {
        let mut group = Group { start: range.start, weight: range.weight, outcome: range.outcome, but: None };
        rest = others;
        if let [single, after, others @ ..] = others
            && single.start + 1 == after.start
            && after.outcome == range.outcome
        {
            group.but = Some((single.start, single.outcome));
            group.weight += single.weight + after.weight;
            rest = others;
        }
        groups.push(group);
    }
    groups
}

/// A tree in which each question halves the calls that are left, as far as ranges go.
fn search(graph: &mut Graph, groups: &[Group]) -> Id {
    if let [group] = groups {
        let question = |with| Question { word: Word::NUMBER, compare: Compare::Equal, with };
        return match group.but {
            Some((number, outcome)) => graph.fork(question(number), outcome, group.outcome),
            None => group.outcome,
        };
    }
    let weights = groups.iter().map(|group| u64::from(group.weight) + 1);
    let half = weights.clone().sum::<u64>() / 2;
    let before = weights.scan(0, |sum, weight| {
        *sum += weight;
        Some(*sum)
    });
    // The split that leaves the least difference, with a group on either side.
    let split = before.take(groups.len().saturating_sub(1)).enumerate().min_by_key(|(_, sum)| sum.abs_diff(half));
    let Some((split, _)) = split else { return graph.finish(KILL_THREAD) };
    let (left, right) = groups.split_at(split + 1);
    let question =
        Question { word: Word::NUMBER, compare: Compare::AtLeast, with: right.first().map_or(0, |group| group.start) };
    let (left, right) = (search(graph, left), search(graph, right));
    graph.fork(question, right, left)
}
