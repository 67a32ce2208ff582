//! Secrets of a worker: the user's, which are mounted and must be there, and two that the controller makes.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Resource, ResourceExt};

use super::workload;
use crate::api::condition::Reason;
use crate::api::presence::{Pbx, PresenceSync};
use crate::api::presence_config::{
    AppConfig, CLIENT_STATE_FILE, LIFECYCLE_URL_FILE, NOTIFICATION_URL_FILE, PASSWORD_FILE, PresenceConfig,
    REFRESH_TOKEN_FILE, TOKEN_KEY, USERNAME_FILE, token_secret_name, workload_name,
};
use crate::api::reference::SecretKeyRef;
use crate::controller::apply;
use crate::policy::identity::{Channel, Keyring, fingerprint, path};
use crate::policy::subscription::Refusal;

/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;

/// A Secret of the user's that the worker reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The field that names it.
    pub field: String,
    /// Its name.
    pub name: String,
    /// Keys that it must have; none for a communication account, which has one set of keys or another.
    pub keys: Option<Vec<String>>,
}

impl Named {
    fn key(field: impl Into<String>, reference: &SecretKeyRef) -> Self {
        Self {
            field: field.into(),
            name: reference.name.clone(),
            keys: Some(vec![reference.key.clone()]),
        }
    }
}

/// All that a configuration names.
pub fn named(config: &PresenceConfig) -> Vec<Named> {
    let mut named = of_app("the GraphTenant of spec.tenantRef", &config.reader);
    named.extend(of_app("the GraphTenant of spec.writerTenantRef", &config.writer));
    named.extend(of_pbx(&config.spec.pbx));
    if let Some(push) = &config.spec.push {
        named.push(Named::key("spec.push.tokenSecretRef", &push.token_secret_ref));
        named.extend(push.accounts.iter().map(|account| Named {
            field: format!("spec.push.accounts[{}].secretRef", account.name),
            name: account.secret_ref.name.clone(),
            keys: None,
        }));
    }
    named
}

fn of_app(field: &str, app: &AppConfig) -> Vec<Named> {
    if let Some(secret) = &app.credentials.client_secret {
        return vec![Named::key(field, &secret.secret_ref)];
    }
    let certificate = app.credentials.certificate.iter();
    certificate
        .map(|certificate| Named {
            field: field.to_owned(),
            name: certificate.secret_name.clone(),
            keys: Some(vec![
                certificate.certificate_key.clone(),
                certificate.private_key_key.clone(),
            ]),
        })
        .collect()
}

fn of_pbx(pbx: &Pbx) -> Vec<Named> {
    let (kind, password, authority) = match (&pbx.innovaphone, &pbx.sip, &pbx.broadworks) {
        (Some(pbx), ..) => ("innovaphone", Some(&pbx.password_secret_ref), &pbx.ca_bundle_secret_ref),
        (_, Some(pbx), _) => ("sip", pbx.password_secret_ref.as_ref(), &pbx.ca_bundle_secret_ref),
        (_, _, Some(pbx)) => ("broadworks", Some(&pbx.password_secret_ref), &pbx.ca_bundle_secret_ref),
        (None, None, None) => return Vec::new(),
    };
    let password = password.map(|key| Named::key(format!("spec.pbx.{kind}.passwordSecretRef"), key));
    let authority = authority
        .as_ref()
        .map(|key| Named::key(format!("spec.pbx.{kind}.caBundleSecretRef"), key));
    password.into_iter().chain(authority).collect()
}

/// Secrets to mount, and of each the keys that are needed; the whole one where there are none.
pub type Mounts = BTreeMap<String, BTreeSet<String>>;

/// What is mounted for these.
pub fn mounts(config: &PresenceConfig) -> Mounts {
    let mut whole = BTreeSet::new();
    let mut mounts = Mounts::new();
    for named in named(config) {
        let keys = mounts.entry(named.name.clone()).or_default();
        match named.keys {
            Some(needed) => keys.extend(needed),
            None => drop(whole.insert(named.name)),
        }
    }
    for name in whole {
        mounts.insert(name, BTreeSet::new());
    }
    let own = config.push.iter().map(|push| push.secret.clone());
    for name in own.chain(config.token.iter().map(|token| token.name.clone())) {
        mounts.insert(name, BTreeSet::new());
    }
    mounts
}

/// A Secret that the pod mounts and that is not there would keep it from starting without a word.
pub async fn missing(
    client: &Client,
    namespace: &str,
    config: &PresenceConfig,
) -> Result<Option<Refusal>, kube::Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for Named { field, name, keys } in named(config) {
        let Some(secret) = secrets.get_opt(&name).await? else {
            let message = format!("{field}: Secret {name} does not exist; create it");
            return Ok(Some(Refusal::waiting(Reason::SecretNotFound, message)));
        };
        let data = secret.data.unwrap_or_default();
        let lacks = |key: &str| !data.contains_key(key);
        let lacking = match &keys {
            Some(keys) => keys.iter().find(|key| lacks(key)).map(|key| format!("no key {key}")),
            None => (lacks(REFRESH_TOKEN_FILE) && (lacks(USERNAME_FILE) || lacks(PASSWORD_FILE)))
                .then(|| format!("neither {REFRESH_TOKEN_FILE} nor both {USERNAME_FILE} and {PASSWORD_FILE}")),
        };
        if let Some(lacking) = lacking {
            let message = format!("{field}: Secret {name} has {lacking}; add it");
            return Ok(Some(Refusal::waiting(Reason::SecretKeyMissing, message)));
        }
    }
    Ok(None)
}

/// Reads the token of the worker's internal port; may `make` it when there is none.
pub async fn token(client: &Client, sync: &PresenceSync, make: bool) -> Result<Result<String, Refusal>, kube::Error> {
    let name = token_secret_name(&sync.name_any());
    let secret = match find(client, sync, &name).await? {
        Some(secret) => secret,
        None if !make => {
            let message = format!("Secret {name} is gone");
            return Ok(Err(Refusal::waiting(Reason::SecretNotFound, message)));
        }
        None => {
            let mut bytes = [0_u8; TOKEN_BYTES];
            if aws_lc_rs::rand::fill(&mut bytes).is_err() {
                let message = "no random numbers are to be had";
                return Ok(Err(Refusal::waiting(Reason::Progressing, message)));
            }
            let text = HEXLOWER.encode(&bytes);
            create(client, sync, &name, [(TOKEN_KEY, text)]).await?
        }
    };
    let token = secret.data.unwrap_or_default().remove(TOKEN_KEY);
    let token = token.and_then(|bytes| String::from_utf8(bytes.0).ok());
    Ok(token.filter(|token| !token.is_empty()).ok_or_else(|| {
        let message = format!("Secret {name} has no text under the key {TOKEN_KEY}; delete it, and it is made anew");
        Refusal::waiting(Reason::SecretKeyMissing, message)
    }))
}

/// The addresses that Graph is given, and what it repeats in each notification.
#[derive(Clone)]
pub struct PushSecret {
    /// Name of the Secret. It says what is inside, so a Secret never changes.
    pub name: String,
    notification_url: String,
    lifecycle_url: String,
    client_state: String,
}

impl PushSecret {
    /// Derived from the active key. `None` while the keyring is empty.
    pub fn derived(sync: &PresenceSync, public_url: &str, keyring: &Keyring) -> Option<Self> {
        let (id, key) = keyring.active()?;
        let uid = sync.uid()?;
        let base = public_url.trim_end_matches('/');
        let url = |channel| format!("{base}{}", path(id, key, channel, &uid));
        let notification_url = url(Channel::Notification);
        // A fingerprint has letters of both cases, and a name must not.
        let mark = HEXLOWER.encode(&fingerprint(&notification_url).as_bytes()[..10]);
        Some(Self {
            name: format!("{}-push-{mark}", workload_name(&sync.name_any())),
            lifecycle_url: url(Channel::Lifecycle),
            client_state: key.client_state(&uid),
            notification_url,
        })
    }

    /// Makes the Secret, if it is not there.
    pub async fn ensure(&self, client: &Client, sync: &PresenceSync) -> Result<(), kube::Error> {
        if find(client, sync, &self.name).await?.is_some() {
            return Ok(());
        }
        let data = [
            (NOTIFICATION_URL_FILE, self.notification_url.clone()),
            (LIFECYCLE_URL_FILE, self.lifecycle_url.clone()),
            (CLIENT_STATE_FILE, self.client_state.clone()),
        ];
        create(client, sync, &self.name, data).await.map(drop)
    }
}

async fn find(client: &Client, sync: &PresenceSync, name: &str) -> Result<Option<Secret>, kube::Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &sync.namespace().unwrap_or_default());
    secrets.get_opt(name).await
}

/// Two controllers may try at once; the first wins.
async fn create<const N: usize>(
    client: &Client,
    sync: &PresenceSync,
    name: &str,
    data: [(&str, String); N],
) -> Result<Secret, kube::Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &sync.namespace().unwrap_or_default());
    let data = data.map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())));
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(workload::labels(&sync.name_any())),
            owner_references: sync.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..Default::default()
        },
        type_: Some("teamsgraph.dev/presence".to_owned()),
        data: Some(BTreeMap::from(data)),
        ..Default::default()
    };
    let params = PostParams {
        field_manager: Some(apply::WORKLOADS.to_owned()),
        ..Default::default()
    };
    match secrets.create(&params, &secret).await {
        Err(kube::Error::Api(status)) if status.code == 409 => secrets.get(name).await,
        other => other,
    }
}
