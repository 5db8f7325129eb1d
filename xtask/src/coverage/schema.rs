//! Every property of config.json, from the sources of oci-spec, whose types planc parses it with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use syn::{Attribute, Fields, GenericArgument, ItemStruct, PathArguments, Type};

use crate::run::{Result, dependency};

/// The crate with the types, and its type of the whole file.
const SOURCE: (&str, &str) = ("oci-spec", "Spec");

/// What the types have though no version of the specification does (the crate says so).
const NEVER: &[&str] = &["uidMappings[]", "gidMappings[]"];

/// Structs by name.
type Structs = BTreeMap<String, ItemStruct>;

/// The properties that have a value of their own: `process.user.uid`, `mounts[].options`, `linux.netDevices.*.name`.
pub(super) fn properties() -> Result<BTreeSet<String>> {
    let (version, folder) = dependency(SOURCE.0)?;
    let folder = folder.join("runtime");
    let files = fs::read_dir(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let mut structs = Structs::new();
    for path in
        files.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension() == Some("rs".as_ref()))
    {
        let text = fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        let file = syn::parse_file(&text).map_err(|why| format!("{}: {why}", path.display()))?;
        structs.extend(file.items.into_iter().filter_map(|item| match item {
            syn::Item::Struct(item) => Some((item.ident.to_string(), item)),
            _ => None,
        }));
    }
    let mut found = BTreeSet::new();
    walk(&structs, SOURCE.1, "", &mut found);
    if found.is_empty() { Err(format!("{} {version} has no type {}", SOURCE.0, SOURCE.1)) } else { Ok(found) }
}

fn walk(structs: &Structs, name: &str, prefix: &str, found: &mut BTreeSet<String>) {
    let Some(item) = structs.get(name) else { return };
    let Fields::Named(fields) = &item.fields else { return };
    let camel = serde(&item.attrs, "rename_all").is_some_and(|case| case == "camelCase");
    for field in &fields.named {
        let Some(ident) = &field.ident else { continue };
        let own = ident.to_string();
        let own = serde(&field.attrs, "rename").unwrap_or_else(|| if camel { camel_case(&own) } else { own });
        let (inner, suffix) = inside(&field.ty);
        let path = format!("{prefix}{own}{suffix}");
        if NEVER.contains(&path.as_str()) {
            continue;
        }
        if structs.contains_key(&inner) {
            walk(structs, &inner, &format!("{path}."), found);
        } else {
            found.insert(format!("{prefix}{own}"));
        }
    }
}

/// The type in the middle of options, lists and maps, and how a path goes on through those.
fn inside(ty: &Type) -> (String, String) {
    let Type::Path(path) = ty else { return Default::default() };
    let Some(last) = path.path.segments.last() else { return Default::default() };
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return (last.ident.to_string(), String::new());
    };
    let own = match last.ident.to_string().as_str() {
        "Vec" => "[]",
        "HashMap" | "BTreeMap" => ".*",
        _ => "",
    };
    match arguments.args.last() {
        Some(GenericArgument::Type(ty)) => {
            let (name, suffix) = inside(ty);
            (name, format!("{own}{suffix}"))
        }
        _ => Default::default(),
    }
}

/// The value of `key` in a serde attribute.
fn serde(attributes: &[Attribute], key: &str) -> Option<String> {
    let lists = attributes.iter().filter(|attribute| attribute.path().is_ident("serde"));
    let tokens = lists.filter_map(|attribute| Some(attribute.meta.require_list().ok()?.tokens.to_string()));
    let pairs: Vec<String> =
        tokens.flat_map(|tokens| tokens.split(',').map(str::to_owned).collect::<Vec<_>>()).collect();
    pairs.iter().find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == key).then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| {
        let (head, tail) = word.split_at(word.len().min(1));
        text + &head.to_uppercase() + tail
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_through_options_lists_and_maps() {
        let text =
            "#[serde(rename_all = \"camelCase\")] struct Spec { a_b: Option<Vec<Inner>>, c: HashMap<String, Inner>, \
                    #[serde(default, rename = \"D\")] d: Option<Box>, e: Option<HashMap<String, String>> }
                    struct Inner { #[serde(rename = \"type\")] typ: u32 } struct Box { height: u64 }";
        let file = syn::parse_file(text).unwrap_or_else(|why| panic!("{why}"));
        let structs = file.items.into_iter().filter_map(|item| match item {
            syn::Item::Struct(item) => Some((item.ident.to_string(), item)),
            _ => None,
        });
        let mut found = BTreeSet::new();
        walk(&structs.collect(), "Spec", "", &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["D.height", "aB[].type", "c.*.type", "e"]);
    }

    #[test]
    fn the_types_have_what_everybody_knows() {
        let found = properties().unwrap_or_else(|why| panic!("{why}"));
        for path in [
            "ociVersion",
            "process.user.uid",
            "process.consoleSize.height",
            "mounts[].options",
            "linux.sysctl",
            "linux.resources.memory.limit",
            "linux.seccomp.syscalls[].args[].valueTwo",
            "hooks.poststart[].timeout",
        ] {
            assert!(found.contains(path), "{path} is not in {found:?}");
        }
    }
}
