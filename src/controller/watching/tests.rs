use kube::runtime::watcher::Event;
use serde_json::json;

use kube::ResourceExt;

use super::*;

#[test]
fn of_a_new_list_is_told_when_the_store_has_it() {
    let (store, mut writer) = store::<GraphTenant>();
    let tenant = |name: &str| {
        let spec = json!({ "tenantId": "contoso.example", "credentials": { "workloadIdentity": {} } });
        GraphTenant::new(name, serde_json::from_value(spec).unwrap())
    };
    let events = [
        (Event::Init, ""),
        (Event::InitApply(tenant("a")), ""),
        (Event::InitApply(tenant("b")), ""),
        (Event::InitDone, "all a b"),
        (Event::Apply(tenant("a")), "now a"),
        (Event::Delete(tenant("b")), "gone b"),
    ];
    for (event, expected) in events {
        writer.apply_watcher_event(&event);
        let told = match Change::told_by(event, &store) {
            Some(Change::Now(tenant)) => format!("now {}", tenant.name_any()),
            Some(Change::Gone(tenant)) => format!("gone {}", tenant.name_any()),
            Some(Change::All(tenants)) => {
                let mut names: Vec<_> = tenants.iter().map(|tenant| tenant.name_any()).collect();
                names.sort();
                format!("all {}", names.join(" "))
            }
            None => String::new(),
        };
        assert_eq!(told, expected);
    }
}

#[test]
fn a_tenant_is_looked_at_anew_only_for_what_it_does_not_permit_yet() {
    let tenant = |granted: &[&str], status: &str| -> GraphTenant {
        serde_json::from_value(json!({
            "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphTenant", "metadata": { "name": "t" },
            "spec": { "tenantId": "contoso.example", "credentials": { "workloadIdentity": {} } },
            "status": {
                "grantedPermissions": granted,
                "conditions": [{
                    "type": "PermissionsGranted", "status": status, "reason": "Succeeded", "message": "m",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
            },
        }))
        .unwrap()
    };
    let subscription: GraphSubscription = serde_json::from_value(json!({
        "apiVersion": "teamsgraph.dev/v1alpha1", "kind": "GraphSubscription", "metadata": { "name": "s" },
        "spec": { "tenantRef": { "name": "t" }, "resource": "communications/callRecords", "changeTypes": ["Created"] },
    }))
    .unwrap();
    let cases = [
        (tenant(&["CallRecords.Read.All"], "True"), true),
        (tenant(&["CallRecords.Read.All"], "False"), false),
        (tenant(&["Chat.Read.All"], "True"), false),
        (tenant(&[], "Unknown"), false),
    ];
    for (tenant, known) in cases {
        assert_eq!(permits(&tenant, &subscription), known, "{:?}", tenant.status);
    }
}
