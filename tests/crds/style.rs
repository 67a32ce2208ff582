//! The API's style: every field is explained, every list and text that a user writes is bounded, null means absent.

use serde_json::Value;
use teams_graph_operator::api::crds;

/// Kubernetes' own types, whose schemas are not ours to write.
const FOREIGN: &[&str] = &["spec.resources.", "spec.tolerations[].", "status.conditions[]."];

#[test]
fn every_field_is_explained_and_bounded() {
    let mut faults = Vec::new();
    for crd in crds::all() {
        let crd = serde_json::to_value(crd).unwrap();
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap();
        let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        for (path, schema) in fields(root, "") {
            if !FOREIGN.iter().any(|foreign| path.starts_with(foreign)) {
                faults.extend(faults_of(&path, schema).map(|fault| format!("{kind} {path}: {fault}")));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn faults_of<'a>(path: &str, schema: &'a Value) -> impl Iterator<Item = &'static str> + use<'a> {
    let has = |word: &str| schema.get(word).is_some();
    let type_ = schema["type"].as_str().unwrap_or_default();
    // A bound on what only the operator writes could only make its own writes fail.
    let users = path.starts_with("spec");
    let bounded_text = ["maxLength", "enum", "pattern", "format"].iter().any(|word| has(word));
    let faults = [
        (has("nullable"), "nullable: null and absence would differ"),
        (!path.ends_with(['}', ']']) && !has("description"), "no description"),
        (users && type_ == "string" && !bounded_text, "text without maxLength"),
        (type_ == "array" && !has("maxItems"), "list without maxItems"),
        (
            users && type_ == "object" && has("additionalProperties") && !has("maxProperties"),
            "map without maxProperties",
        ),
        (type_.is_empty() && !has("x-kubernetes-int-or-string"), "no type"),
    ];
    faults.into_iter().filter(|(found, _)| *found).map(|(_, fault)| fault)
}

/// Every field below `schema` with its path: `spec.sinks[].http.url`, `spec.nodeSelector{}`.
fn fields<'a>(schema: &'a Value, path: &str) -> Vec<(String, &'a Value)> {
    let mut found = Vec::new();
    let properties = schema["properties"].as_object();
    for (name, property) in properties.into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        found.push((path, property));
    }
    if schema["items"].is_object() {
        found.push((format!("{path}[]"), &schema["items"]));
    }
    if schema["additionalProperties"].is_object() {
        found.push((format!("{path}{{}}"), &schema["additionalProperties"]));
    }
    let deeper: Vec<_> = found.iter().flat_map(|(path, schema)| fields(schema, path)).collect();
    found.extend(deeper);
    found
}

#[test]
fn a_fault_is_found() {
    let schema = serde_json::json!({ "type": "object", "properties": { "spec": { "type": "object", "description": "d", "properties": {
        "text": { "type": "string", "nullable": true },
        "list": { "type": "array", "description": "d", "items": { "type": "string", "maxLength": 1 } },
    }}}});
    let found: Vec<_> = fields(&schema, "")
        .into_iter()
        .flat_map(|(path, schema)| faults_of(&path, schema).map(move |fault| format!("{path}: {fault}")))
        .collect();
    let expected = [
        "spec.list: list without maxItems",
        "spec.text: nullable: null and absence would differ",
        "spec.text: no description",
        "spec.text: text without maxLength",
    ];
    assert_eq!(found, expected);
}
