//! The custom resource definitions, as objects and as the YAML files in `crds/`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use super::connector::TeamsConnectorHealth;
use super::presence::PresenceSync;
use super::receiver::NotificationReceiver;
use super::subscription::{GraphSubscription, not_observed};
use super::tenant::GraphTenant;

/// Every kind's definition, in the order in which a user meets them.
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        GraphTenant::crd(),
        NotificationReceiver::crd(),
        GraphSubscription::crd(),
        PresenceSync::crd(),
        TeamsConnectorHealth::crd(),
    ];
    crds.iter_mut().for_each(complete);
    crds
}

/// A definition as YAML.
pub fn to_yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser_error::Error> {
    serde_saphyr::to_string(crd)
}

/// What the derive cannot say.
fn complete(crd: &mut CustomResourceDefinition) {
    let schemas = crd
        .spec
        .versions
        .iter_mut()
        .filter_map(|version| version.schema.as_mut());
    for root in schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()) {
        refuse_nulls(root);
        // An object that the operator has not seen yet shows this status. Without one, GitOps tools take it for ready.
        if let Some(status) = root
            .properties
            .as_mut()
            .and_then(|properties| properties.get_mut("status"))
        {
            status.default = Some(JSON(serde_json::json!({ "observedGeneration": not_observed() })));
        }
    }
}

/// An `Option` is derived as nullable, and a stored null is neither absent nor a value: rules, defaults and other
/// clients disagree about it. Where null is not allowed, the API server drops it.
fn refuse_nulls(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        refuse_nulls(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        refuse_nulls(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        refuse_nulls(values);
    }
}
