//! What the types write, the API server keeps, example by example.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::support::{Namespace, client, collection, send};

/// The server's defaults are those of the type, and what the type writes it keeps. `specs` are put into `object`.
pub async fn kept_and_filled_in_alike<Spec: DeserializeOwned + Serialize>(
    plural: &str,
    mut object: Value,
    specs: Vec<Value>,
) {
    let client = client().await;
    let namespace = Namespace::new(&client).await;
    let path = format!("{}?dryRun=All", collection(&namespace.name, plural));
    for spec in specs {
        object["spec"] = spec.clone();
        let stored = send(&client, "POST", &path, &object).await;
        let stored = stored.unwrap_or_else(|message| panic!("{spec}: {message}"));
        let typed: Spec = serde_json::from_value(spec.clone()).unwrap();
        let written = serde_json::to_value(&typed).unwrap();
        assert_eq!(stored["spec"], written, "{spec}");
        object["spec"] = written.clone();
        let again = send(&client, "POST", &path, &object).await.unwrap();
        assert_eq!(again["spec"], written, "{spec}");
    }
}
