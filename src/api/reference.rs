//! References from one object to another, and who may follow them.

use std::collections::BTreeMap;
use std::fmt;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A key of a Secret in the same namespace as the object that names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key within the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A Secret in the same namespace as the object that names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// An object of a known kind, in the same namespace unless another is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the object; the referring object's own when absent. The target must allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Which namespaces' objects may refer to this one, as Gateway API's `allowedRoutes` does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.from == 'Selector') == has(self.matchLabels)").message("matchLabels is required with from: Selector and not allowed otherwise"))]
pub struct AllowedNamespaces {
    /// `Same`: only this namespace. `All`: every namespace. `Selector`: namespaces with all of `matchLabels`.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// Labels a namespace must carry, with `from: Selector`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = { "type": "string", "maxLength": 63 }))]
    pub match_labels: Option<BTreeMap<String, String>>,
}

/// How allowed namespaces are chosen.
#[allow(missing_docs)] // the words say it, and documented variants would lose their order in the schema
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    #[default]
    Same,
    All,
    Selector,
}

impl AllowedNamespaces {
    /// Whether an object in `theirs`, a namespace with `labels`, may refer to one in `own`.
    pub fn admits(&self, own: &str, theirs: &str, labels: &BTreeMap<String, String>) -> bool {
        if own == theirs {
            return true;
        }
        match self.from {
            NamespacesFrom::Same => false,
            NamespacesFrom::All => true,
            NamespacesFrom::Selector => self
                .match_labels
                .as_ref()
                .is_some_and(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_by_choice() {
        let labels = BTreeMap::from([("team".to_owned(), "voice".to_owned())]);
        let selector = |value: &str| AllowedNamespaces {
            from: NamespacesFrom::Selector,
            match_labels: Some(BTreeMap::from([("team".to_owned(), value.to_owned())])),
        };
        let all = AllowedNamespaces {
            from: NamespacesFrom::All,
            match_labels: None,
        };
        let cases = [
            (AllowedNamespaces::default(), "a", true),
            (AllowedNamespaces::default(), "b", false),
            (all, "b", true),
            (selector("voice"), "b", true),
            (selector("mail"), "b", false),
            (selector("mail"), "a", true),
        ];
        for (allowed, theirs, expected) in cases {
            assert_eq!(allowed.admits("a", theirs, &labels), expected, "{allowed:?} {theirs}");
        }
    }
}
