//! The adapter that the spec asks for, started.

use prometheus::Registry;
use rustls::pki_types::CertificateDer;
use secrecy::ExposeSecret;
use tokio::sync::mpsc;

use super::adapters::metrics::Metrics;
use super::adapters::{Adapter, broadworks, innovaphone, sip, tls};
use super::fault;
use super::setup::Setup;
use super::worker::Connector;
use crate::api::presence_report::{Fault, Lamp};
use crate::api::reference::SecretKeyRef;
use crate::policy::presence::pbx::{Capabilities, PbxError, PbxEvent};

/// What came of it.
pub struct Connected {
    /// The adapter; `None` when it cannot be used at all.
    pub adapter: Option<Adapter>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Why it cannot be used at all.
    pub unusable: Option<Lamp>,
}

/// Starts adapters. They connect by themselves, and go on trying.
pub fn connector(registry: &Registry) -> prometheus::Result<Connector> {
    let metrics = Metrics::new(registry)?;
    Ok(Box::new(move |setup, events| match start(setup, &metrics, events) {
        Ok(adapter) => Connected {
            capabilities: adapter.capabilities(),
            adapter: Some(adapter),
            unusable: None,
        },
        Err(lamp) => {
            tracing::error!("the PBX cannot be used: {}", lamp.message);
            Connected {
                adapter: None,
                capabilities: NOTHING,
                unusable: Some(lamp),
            }
        }
    }))
}

/// A PBX that cannot be used can do nothing. Users are not taken for gone on that account: it never says that it told all.
const NOTHING: Capabilities = Capabilities {
    reads_presence: false,
    own_entry: false,
    own_entry_expires: false,
    line: false,
    enumerates_users: true,
    own_is_do_not_disturb: false,
};

fn start(setup: &Setup, metrics: &Metrics, events: mpsc::Sender<PbxEvent>) -> Result<Adapter, Lamp> {
    let pbx = &setup.config.spec.pbx;
    let refused = |error: PbxError| Lamp::red(fault::of_pbx(&error), error.to_string());
    if let Some(config) = &pbx.innovaphone {
        let password = secret(
            setup,
            "spec.pbx.innovaphone.passwordSecretRef",
            &config.password_secret_ref,
        )?;
        let roots = roots(setup, config.ca_bundle_secret_ref.as_ref())?;
        let started = innovaphone::start(config, &password, &roots, metrics, events);
        return started.map(Adapter::Innovaphone).map_err(refused);
    }
    if let Some(config) = &pbx.broadworks {
        let password = secret(
            setup,
            "spec.pbx.broadworks.passwordSecretRef",
            &config.password_secret_ref,
        )?;
        let roots = roots(setup, config.ca_bundle_secret_ref.as_ref())?;
        let started = broadworks::start(config, &password, &roots, metrics, events);
        return started.map(Adapter::BroadWorks).map_err(refused);
    }
    if let Some(config) = &pbx.sip {
        let reference = config.password_secret_ref.as_ref();
        let password = reference.map(|reference| secret(setup, "spec.pbx.sip.passwordSecretRef", reference));
        let password = password.transpose()?;
        let roots = roots(setup, config.ca_bundle_secret_ref.as_ref())?;
        let started = sip::start(config, password.as_ref(), &roots, metrics, events);
        return started.map(Adapter::Sip).map_err(refused);
    }
    Err(Lamp::red(Fault::Rejected, "spec.pbx names no PBX"))
}

fn secret(setup: &Setup, field: &str, reference: &SecretKeyRef) -> Result<secrecy::SecretString, Lamp> {
    let text = setup.wanted(field, reference);
    text.map_err(|message| Lamp::red(Fault::SecretMissing, message))
}

fn roots(setup: &Setup, reference: Option<&SecretKeyRef>) -> Result<Vec<CertificateDer<'static>>, Lamp> {
    let Some(reference) = reference else {
        return Ok(Vec::new());
    };
    let pem = secret(setup, "caBundleSecretRef", reference)?;
    tls::roots(pem.expose_secret().as_bytes())
        .map_err(|error| Lamp::red(Fault::CredentialsMalformed, error.to_string()))
}
