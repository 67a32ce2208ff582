use crate::policy::connector::pexip::testing::{TENANT_ID, brief, world};
use crate::policy::connector::pexip::*;

const WRONG: &str = "11111111-2222-3333-4444-555555555555";

#[test]
fn the_connector_has_the_tenant_of_the_spec() {
    let tenant = |uri: &str, id: &str| Tenant {
        uri: uri.into(),
        name: "Contoso".into(),
        tenant_id: id.into(),
    };
    for (own, tenants, expected) in [
        (Some("/t/1/"), vec![tenant("/t/1/", TENANT_ID)], "Pass"),
        (
            Some("/t/1/"),
            vec![tenant("/t/1/", &format!(" {} ", TENANT_ID.to_uppercase()))],
            "Pass",
        ),
        (
            Some("/t/1/"),
            vec![tenant("/t/1/", WRONG)],
            "Critical TenantIdMismatch connector",
        ),
        (
            Some("/t/1/"),
            vec![tenant("/t/1/", WRONG), tenant("/t/2/", TENANT_ID)],
            "Critical ConnectorUsesOtherTenant connector",
        ),
        (
            None,
            vec![tenant("/t/2/", TENANT_ID)],
            "Critical ConnectorUsesOtherTenant connector",
        ),
        (None, vec![], "Critical TenantIdMismatch connector"),
        (Some("/t/9/"), vec![], "Critical TenantIdMismatch connector"),
    ] {
        let mut world = world();
        world.configuration.connectors.as_mut().unwrap()[0].tenant = own.map(str::to_owned);
        world.configuration.tenants = Ok(tenants.clone());
        let (spec, evidence) = world.evidence();
        assert_eq!(
            brief(&judge_tenant(&spec, TENANT_ID, &evidence)),
            expected,
            "{own:?} {tenants:?}"
        );
    }
}

#[test]
fn what_is_not_told_is_not_judged() {
    let mut denied = world();
    denied.configuration.tenants = Err(ApiFault::Forbidden);
    let (spec, evidence) = denied.evidence();
    assert_eq!(brief(&judge_tenant(&spec, TENANT_ID, &evidence)), "Unknown ApiRejected");
    let mut missing = world();
    missing.spec.connector_name = "us".into();
    let (spec, evidence) = missing.evidence();
    assert_eq!(
        brief(&judge_tenant(&spec, TENANT_ID, &evidence)),
        "Unknown ConnectorNotFound connector"
    );
}
