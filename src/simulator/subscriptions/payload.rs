//! The body of a create, read as strictly as Graph reads it.

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::simulator::clock;
use crate::simulator::errors::{GraphError, GraphResult};

/// What a caller wants to have.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Path of what is watched.
    pub resource: String,
    /// Comma list of changes.
    pub change_type: String,
    /// Where notifications go.
    pub notification_url: String,
    /// Where lifecycle events go.
    pub lifecycle_notification_url: Option<String>,
    /// Until when.
    pub expires: Timestamp,
    /// Repeated in each notification.
    pub client_state: Option<String>,
    /// Rich notifications.
    pub include_resource_data: Option<bool>,
    /// Base64 X.509 to encrypt for.
    pub encryption_certificate: Option<String>,
    /// The caller's name for it.
    pub encryption_certificate_id: Option<String>,
    /// `v1_0` to `v1_3`
    pub latest_supported_tls_version: Option<String>,
    /// For a few resources.
    pub notification_query_options: Option<String>,
    /// App for which validation tokens are made.
    pub notification_url_app_id: Option<String>,
}

/// A JSON object whose fields are taken one by one, so that the rest is unknown.
pub struct Fields {
    map: Map<String, Value>,
    operation: &'static str,
}

impl Fields {
    /// Reads a JSON object.
    pub fn read(operation: &'static str, headers: &HeaderMap, body: &Bytes) -> GraphResult<Self> {
        let kind = headers
            .get("content-type")
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        if !kind.to_ascii_lowercase().starts_with("application/json") {
            let text = "Entity only allows writes with a JSON Content-Type header.";
            return Err(GraphError::new(StatusCode::BAD_REQUEST, "BadRequest", text));
        }
        let mut map: Map<String, Value> = serde_json::from_slice(body).map_err(|_| GraphError::payload(operation))?;
        // OData control information may stand beside the properties.
        map.retain(|name, _| !name.starts_with("@odata."));
        Ok(Self { map, operation })
    }

    /// A text, if it is there and not null.
    pub fn text(&mut self, name: &str) -> GraphResult<Option<String>> {
        match self.map.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(GraphError::payload(self.operation)),
        }
    }

    /// A text that must be there.
    fn required(&mut self, name: &str) -> GraphResult<String> {
        self.text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| missing(name))
    }

    /// A truth value, if it is there.
    fn flag(&mut self, name: &str) -> GraphResult<Option<bool>> {
        match self.map.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(GraphError::payload(self.operation)),
        }
    }

    /// A date, if it is there.
    pub fn date(&mut self, name: &str) -> GraphResult<Option<Timestamp>> {
        let text = self.text(name)?;
        let parse =
            |text: String| clock::parse_internet_date_time(&text).ok_or_else(|| GraphError::payload(self.operation));
        text.map(parse).transpose()
    }

    /// Whether something is left that nobody asked for.
    pub fn names_left(&self) -> Vec<&str> {
        self.map.keys().map(String::as_str).collect()
    }
}

/// Reads the body of a create. Only its form is checked here.
pub fn read_create(headers: &HeaderMap, body: &Bytes) -> GraphResult<Wanted> {
    let mut fields = Fields::read("creation", headers, body)?;
    let expires = fields.date("expirationDateTime")?;
    let client_state = fields.text("clientState")?;
    let lifecycle_notification_url = fields.text("lifecycleNotificationUrl")?;
    let include_resource_data = fields.flag("includeResourceData")?;
    let encryption_certificate = fields.text("encryptionCertificate")?;
    let encryption_certificate_id = fields.text("encryptionCertificateId")?;
    let latest_supported_tls_version = fields.text("latestSupportedTlsVersion")?;
    let notification_query_options = fields.text("notificationQueryOptions")?;
    let notification_url_app_id = fields.text("notificationUrlAppId")?;
    let resource = fields.required("resource");
    let change_type = fields.required("changeType");
    let notification_url = fields.required("notificationUrl");
    // What cannot be read at all comes before what is missing.
    if !fields.names_left().is_empty() {
        return Err(GraphError::payload("creation"));
    }
    Ok(Wanted {
        expires: expires.ok_or_else(|| missing("expirationDateTime"))?,
        resource: resource?,
        change_type: change_type?,
        notification_url: notification_url?,
        lifecycle_notification_url,
        client_state,
        include_resource_data,
        encryption_certificate,
        encryption_certificate_id,
        latest_supported_tls_version,
        notification_query_options,
        notification_url_app_id,
    })
}

fn missing(name: &str) -> GraphError {
    GraphError::invalid(format!("{name} is a required property for subscription creation."))
}
