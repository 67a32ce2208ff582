//! The committed definitions are those of the types, and read the same by every YAML parser.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use teams_graph_operator::api::crds;

fn expected() -> BTreeMap<String, String> {
    let file = |name: &str| {
        let (plural, group) = name.split_once('.').unwrap();
        format!("{group}_{plural}.yaml")
    };
    let all = crds::all().into_iter();
    all.map(|crd| (file(&crd.name_any()), crds::to_yaml(&crd).unwrap()))
        .collect()
}

#[test]
fn committed_files_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let mut committed = BTreeMap::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        committed.insert(name, fs::read_to_string(&path).unwrap());
    }
    let expected = expected();
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&committed), names(&expected), "files in crds/: run `make crds`");
    for (name, text) in expected {
        let differs = text
            .lines()
            .zip(committed[&name].lines())
            .position(|(wanted, found)| wanted != found);
        assert!(
            committed[&name] == text,
            "crds/{name} is not what src/api says, from line {}: run `make crds`",
            differs.map_or(0, |line| line + 1)
        );
    }
}

/// Some parsers still read `no`, `on` and `y` as booleans (YAML 1.1). kubectl reads YAML as Go does; `kubectl create
/// --dry-run=client` prints what it understood.
#[test]
fn kubectl_reads_what_was_written() {
    for crd in crds::all() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), crds::to_yaml(&crd).unwrap()).unwrap();
        let output = Command::new("kubectl")
            .args(["create", "--dry-run=client", "--validate=false", "-o", "json", "-f"])
            .arg(file.path())
            .output()
            .expect("kubectl, which tests/cluster/api puts in PATH");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // As the type, in which 1 and 1.0 are the same.
        let read: CustomResourceDefinition = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(read.spec, crd.spec, "{}", crd.name_any());
    }
}

/// The chart's copies differ by the annotation that keeps them at an uninstall.
#[test]
fn the_chart_holds_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/teams-graph-operator-crds/templates");
    if !folder.exists() {
        return;
    }
    for (name, text) in expected() {
        let copy = fs::read_to_string(folder.join(&name)).unwrap_or_default();
        let plain = copy.replacen("  annotations:\n    helm.sh/resource-policy: keep\n", "", 1);
        assert!(
            plain == text,
            "{}/{name} is not what src/api says: run `make crds`",
            folder.display()
        );
    }
}
