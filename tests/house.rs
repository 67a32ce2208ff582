//! The rules of the house: which folder of `src/` may use what, and how large a file may be.
//!
//! Paths are read from the text, in `use` trees and inline, without a full parser. Test code is exempt.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::too_many_lines)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a folder must not use. A path is refused when it begins with a word of `never`, or ends with one that begins
/// with `..`, unless it begins with a word of `except`.
struct Rule {
    room: &'static str,
    never: &'static [&'static str],
    except: &'static [&'static str],
}

const RULES: &[Rule] = &[
    // The product's contract: readable by anything, so it depends on nothing that acts.
    Rule {
        room: "api",
        never: PURE,
        except: &[
            "crate::api",
            "kube::CustomResource",
            "kube::CustomResourceExt",
            "kube::KubeSchema",
        ],
    },
    // Decisions are functions of their arguments, the time among them.
    Rule {
        room: "policy",
        never: PURE,
        except: &["crate::api", "crate::policy"],
    },
    // Usable and testable without a cluster.
    Rule {
        room: "graph",
        never: &[
            "kube",
            "k8s_openapi",
            "crate::api",
            "crate::controller",
            "crate::presence",
            "crate::receiver",
            "crate::simulator",
        ],
        except: &[],
    },
    // Pods without rights in the cluster.
    Rule {
        room: "receiver",
        never: WORKER,
        except: &[],
    },
    Rule {
        room: "presence",
        never: &["crate::controller", "crate::simulator"],
        except: &[],
    },
    // Shares no type with what it is used to test, so that it can disagree.
    Rule {
        room: "simulator",
        never: &[
            "kube",
            "k8s_openapi",
            "crate::api",
            "crate::controller",
            "crate::graph",
            "crate::policy",
            "crate::presence",
            "crate::probe",
            "crate::receiver",
        ],
        except: &[],
    },
    // Runs on a person's machine, beside whatever runs in the cluster.
    Rule {
        room: "import",
        never: &["crate::presence", "crate::receiver", "crate::simulator"],
        except: &[],
    },
    // The same, and it only asks.
    Rule {
        room: "explain",
        never: &[
            "crate::controller",
            "crate::graph",
            "crate::presence",
            "crate::receiver",
            "crate::simulator",
        ],
        except: &[],
    },
    Rule {
        room: "probe",
        never: &["kube", "crate::controller"],
        except: &[],
    },
];

/// No client, no runtime, no clock, nothing else of this crate.
const PURE: &[&str] = &[
    "..Instant::now",
    "..SystemTime::now",
    "..Timestamp::now",
    "..Zoned::now",
    "axum",
    "axum_server",
    "crate",
    "fastrand",
    "hyper",
    "kube",
    "reqwest",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "tokio_util",
    "tower",
    "tower_http",
];

const WORKER: &[&str] = &["kube", "crate::controller", "crate::graph", "crate::simulator"];

const MOST_LINES: usize = 500;

#[test]
fn folders_use_only_what_they_may() {
    let files = sources();
    assert!(!files.is_empty(), "no sources found");
    let mut breaches = Vec::new();
    for (file, text) in &files {
        let module = module_of(file);
        breaches.extend(breaches_in(&module, text).map(|breach| format!("src/{}: {breach}", file.display())));
    }
    assert!(
        breaches.is_empty(),
        "see docs/development.md, rules of the house:\n{}",
        breaches.join("\n")
    );
}

#[test]
fn files_are_short_and_named_after_their_module() {
    let mut breaches = Vec::new();
    for (file, text) in sources() {
        let lines = text.lines().count();
        if lines >= MOST_LINES {
            breaches.push(format!("src/{}: {lines} lines, split it", file.display()));
        }
        if file.ends_with("mod.rs") {
            breaches.push(format!("src/{}: name the file after the module", file.display()));
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn every_reason_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(root.join("src/api/condition.rs")).unwrap();
    let page = fs::read_to_string(root.join("docs/reasons.md")).unwrap();
    let reasons = source
        .split("pub enum Reason {")
        .nth(1)
        .unwrap()
        .split('}')
        .next()
        .unwrap();
    let reasons: BTreeSet<&str> = reasons
        .lines()
        .filter_map(|line| line.trim().strip_suffix(','))
        .collect();
    let explained: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(reasons, explained, "src/api/condition.rs and docs/reasons.md");
}

/// `make soak` has each invariant pass a million histories.
#[test]
fn the_gate_runs_every_invariant() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let gate = fs::read_to_string(root.join("tests/support/gate")).unwrap();
    let run = gate
        .lines()
        .find_map(|line| line.split_once("--lib -- policy::presence"));
    let filters: Vec<&str> = run.map(|(_, more)| more.split_whitespace().collect()).unwrap();
    for (file, text) in sources() {
        let module = module_of(&file).join("::");
        if text.contains("proptest_config(histories())") && !module.starts_with("policy::presence") {
            assert!(
                filters.iter().any(|filter| module.contains(filter)),
                "{module} is not run"
            );
        }
    }
}

#[test]
fn a_breach_is_found() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("api", "use kube::Client;", &["kube::Client"]),
        ("api", "use kube::{CustomResource, KubeSchema};", &[]),
        (
            "api",
            "use kube::{CustomResource, runtime::{watcher}};",
            &["kube::runtime::watcher"],
        ),
        (
            "policy",
            "fn f() { let now = jiff::Timestamp::now(); }",
            &["jiff::Timestamp::now"],
        ),
        ("policy", "fn f() -> Instant { Instant::now() }", &["Instant::now"]),
        (
            "policy",
            "use crate::{api::tenant, graph::error::Class};",
            &["crate::graph::error::Class"],
        ),
        ("policy", "use super::graph;", &["crate::graph"]),
        ("policy::renewal", "use super::super::graph;", &["crate::graph"]),
        ("policy::renewal", "use super::backoff;", &[]),
        ("graph", "pub use crate::controller::*;", &["crate::controller"]),
        (
            "receiver::log",
            "type T = crate::graph::Graph<'static>;",
            &["crate::graph::Graph"],
        ),
        ("simulator", "use crate::api;", &["crate::api"]),
        ("controller", "use crate::graph; use kube::Client;", &[]),
        // not code, or not ours
        (
            "graph",
            "// crate::api\n/* crate::api */ const A: &str = \"crate::api \\\" crate::api\";",
            &[],
        ),
        (
            "graph",
            "const A: &str = r#\"\" crate::api\"#; const B: char = '\"'; use crate::api;",
            &["crate::api"],
        ),
        (
            "graph",
            "#[cfg(test)]\nmod tests { use crate::api; mod deep {} use crate::api; }",
            &[],
        ),
        ("graph", "#[cfg(test)] mod tests;\nuse crate::api;", &["crate::api"]),
        ("graph", "fn f<'a>(x: &'a str) { crate::api::g(x) }", &["crate::api::g"]),
        ("api", "use tokio;", &["tokio"]),
        ("api", "#[kube(x)] pub(crate) fn f() {}", &[]),
        ("api", "use tokio_stream::X; use kubelet::Y;", &[]),
    ];
    for (module, text, expected) in cases {
        let module: Vec<String> = module.split("::").map(str::to_owned).collect();
        let found: Vec<String> = breaches_in(&module, text).collect();
        let expected: Vec<String> = expected
            .iter()
            .map(|path| format!("{} must not use {path}", module[0]))
            .collect();
        assert_eq!(found, expected, "{text}");
    }
}

/// The sentences about what `module` uses against the rule of its folder.
fn breaches_in(module: &[String], text: &str) -> impl Iterator<Item = String> {
    let room = module.first().cloned().unwrap_or_default();
    let rule = RULES.iter().find(|rule| rule.room == room);
    let used = rule.map(|_| paths(module, &tokens(text))).unwrap_or_default();
    used.into_iter()
        .filter(move |path| {
            rule.is_some_and(|rule| {
                rule.never.iter().any(|pattern| matches(path, pattern))
                    && !rule.except.iter().any(|pattern| matches(path, pattern))
            })
        })
        .map(move |path| format!("{room} must not use {path}"))
}

fn matches(path: &str, pattern: &str) -> bool {
    match pattern.strip_prefix("..") {
        Some(end) => path == end || path.ends_with(&format!("::{end}")),
        None => path == pattern || path.starts_with(&format!("{pattern}::")),
    }
}

/// Every path in the code, `use` trees unfolded, `self` and `super` resolved.
fn paths(module: &[String], tokens: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].starts_with(&["#", "[", "cfg", "(", "test", ")", "]"].map(str::to_owned)) {
            at = end_of_item(tokens, at + 7);
        } else if is_word(&tokens[at]) {
            at = unfold(tokens, at, &[], module, &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads the path or tree at `at`, and returns where it ends.
fn unfold(
    tokens: &[String],
    mut at: usize,
    before: &[String],
    module: &[String],
    found: &mut BTreeSet<String>,
) -> usize {
    let start = at;
    let mut path = before.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") if path.len() == before.len() || tokens[at - 1] == "::" => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    if is_word(&tokens[at]) {
                        at = unfold(tokens, at, &path, module, found);
                    } else {
                        at += 1;
                    }
                }
                return at + 1;
            }
            Some(word) if is_word(word) => path.push(word.to_owned()),
            _ => break,
        }
        at += 1;
        if tokens.get(at).map(String::as_str) != Some("::") {
            break;
        }
        at += 1;
    }
    // A lone word is a name of any sort, as in `#[kube(…)]` or `pub(crate)`, unless it is imported.
    if path.len() > 1 || (start > 0 && tokens[start - 1] == "use") {
        found.insert(resolve(&path, module).join("::"));
    }
    at
}

fn resolve(path: &[String], module: &[String]) -> Vec<String> {
    let supers = path.iter().take_while(|word| *word == "super").count();
    let rest = |from: usize| path[from..].iter().filter(|word| *word != "self").cloned();
    let base = |depth: usize| std::iter::once("crate".to_owned()).chain(module[..depth].iter().cloned());
    match path.first().map(String::as_str) {
        Some("super") => base(module.len().saturating_sub(supers)).chain(rest(supers)).collect(),
        Some("self") => base(module.len()).chain(rest(1)).collect(),
        _ => rest(0).collect(),
    }
}

/// Behind the `;` or the closing brace of the item at `at`.
fn end_of_item(tokens: &[String], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return at + 1,
            "}" => depth = depth.saturating_sub(1),
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
        at += 1;
    }
    at
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Words, `::` and single characters; comments, strings and characters are left out.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let raw = rest.strip_prefix('r').map(|after| after.trim_start_matches('#'));
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(content) = raw.and_then(|after| after.strip_prefix('"')) {
            let start = rest.len() - content.len();
            let closing = format!("\"{}", "#".repeat(start - 2));
            content
                .find(&closing)
                .map_or(rest.len(), |end| start + end + closing.len())
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' && (rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'')) {
            quoted(rest, '\'')
        } else if first == '\'' {
            1 + word_length(&rest[1..])
        } else if is_word(rest) {
            let length = word_length(rest);
            tokens.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn word_length(text: &str) -> usize {
    text.find(|next: char| !next.is_alphanumeric() && next != '_')
        .unwrap_or(text.len())
}

/// Length of the literal at the start of `text`, with both quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, next) in text.char_indices().skip(1) {
        if !escaped && next == quote {
            return at + 1;
        }
        escaped = next == '\\' && !escaped;
    }
    text.len()
}

/// `src/graph/token.rs` is the module `graph::token`.
fn module_of(file: &Path) -> Vec<String> {
    let names = file.with_extension("");
    let names = names.iter().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name != "lib" && name != "main").collect()
}

/// Every source that is not test code, with its path within `src/`.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // Declared under cfg(test) by convention.
            if ["tests", "tests.rs", "testing.rs"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    files.sort();
    files
}
