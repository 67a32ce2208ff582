//! The charts and what is generated from them, against helm and a real API server.
//!
//! Needs kubectl in PATH and a cluster in KUBECONFIG, as `tests/cluster/api run` gives them. Helm comes from HELM, from PATH,
//! or from `tests/cluster/build`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::case_sensitive_file_extension_comparisons
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::Value;

const OPERATOR: &str = "charts/teams-graph-operator";
const SIMULATOR: &str = "charts/teams-graph-simulator";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn output(command: &mut Command) -> Output {
    command
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeed(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn helm_program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Ok(program) = std::env::var("HELM") {
            return program;
        }
        if Command::new("helm").arg("version").output().is_ok() {
            return "helm".to_owned();
        }
        let built = output(Command::new(root().join("tests/cluster/build")).arg("helm"));
        assert!(
            built.status.success(),
            "there is no helm in PATH, and it cannot be built: {}. Install helm 4, or name it in HELM",
            text(&built.stderr)
        );
        format!("{}/helm", text(&built.stdout).trim())
    })
}

fn helm(arguments: &[&str]) -> Command {
    let mut command = Command::new(helm_program());
    command.args(arguments);
    command
}

fn template(release: &str, chart: &str, namespace: &str, settings: &[&str]) -> String {
    let mut command = helm(&["template", release, chart, "--namespace", namespace]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    succeed(&mut command)
}

fn kubectl(arguments: &[&str], input: &str) -> Output {
    assert!(
        std::env::var_os("KUBECONFIG").is_some(),
        "KUBECONFIG is not set: this test needs a cluster. Run `make test`, or `tests/cluster/api run cargo test --test chart`"
    );
    let mut command = Command::new("kubectl");
    command.args(arguments).current_dir(root());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn apply(arguments: &[&str], input: &str) {
    let arguments = [
        &["apply", "--server-side", "--force-conflicts", "--filename", "-"],
        arguments,
    ]
    .concat();
    let output = kubectl(&arguments, input);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

fn namespace(name: &str) {
    apply(
        &[],
        &format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"),
    );
}

fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

fn files(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect()
}

/// The one file in `deploy/` that is not generated.
const WRITTEN_BY_HAND: &str = "alertmanager-inhibitions.yaml";

#[test]
fn generated_files_are_current() {
    let fresh = tempfile::tempdir().unwrap();
    succeed(
        Command::new(root().join("deploy/render"))
            .arg(fresh.path())
            .env("TEAMSGRAPH_BIN", env!("CARGO_BIN_EXE_teams-graph-operator"))
            .env("HELM", helm_program()),
    );
    for folder in ["crds", "charts/teams-graph-operator-crds/templates", "deploy"] {
        let (ours, theirs) = (root().join(folder), fresh.path().join(folder));
        let mut generated = files(&ours);
        generated.remove(WRITTEN_BY_HAND);
        assert_eq!(generated, files(&theirs), "{folder}: run deploy/render");
        for name in generated {
            let same = fs::read_to_string(ours.join(&name)).unwrap() == fs::read_to_string(theirs.join(&name)).unwrap();
            assert!(
                same,
                "{folder}/{name} is not what is generated today: run deploy/render"
            );
        }
    }
}

#[test]
fn charts_pass_lint() {
    for chart in [OPERATOR, SIMULATOR, "charts/teams-graph-operator-crds"] {
        succeed(&mut helm(&["lint", "--strict", chart]));
    }
}

#[test]
fn wrong_values_are_refused() {
    let cases = [
        (OPERATOR, "replicas=2", "replicas"),
        (OPERATOR, "replicaCount=two", "replicaCount"),
        (OPERATOR, "replicaCount=-1", "replicaCount"),
        (OPERATOR, "image.pullPolicy=Sometimes", "pullPolicy"),
        (OPERATOR, "image.name=x", "image"),
        (OPERATOR, "image.digest=latest", "digest"),
        (OPERATOR, "watchNamespace=Not_A_Name", "watchNamespace"),
        (
            OPERATOR,
            "fullnameOverride=a-name-of-forty-seven-characters-is-too-long-aa",
            "fullnameOverride",
        ),
        (OPERATOR, "intervalSeconds=1", "intervalSeconds"),
        (OPERATOR, "identityNamespaces={Not_A_Name}", "identityNamespaces"),
        (OPERATOR, "log.format=xml", "format"),
        (
            OPERATOR,
            "terminationGracePeriodSeconds=5",
            "terminationGracePeriodSeconds",
        ),
        (OPERATOR, "metrics.prometheusRule.enable=true", "prometheusRule"),
        (OPERATOR, "feeds.syslog.port=0", "port"),
        (OPERATOR, "feeds.service.type=ExternalName", "type"),
        (
            OPERATOR,
            "feeds.service.externalTrafficPolicy=None",
            "externalTrafficPolicy",
        ),
        (
            OPERATOR,
            "feeds.service.loadBalancerSourceRanges={192.0.2.1}",
            "loadBalancerSourceRanges",
        ),
        (OPERATOR, "extraEnv[0].nam=x", "extraEnv"),
        (SIMULATOR, "replicaCount=2", "replicaCount"),
        (SIMULATOR, "service.port=0", "port"),
    ];
    for (chart, setting, named) in cases {
        let output = output(&mut helm(&["template", "x", chart, "--set", setting]));
        let error = text(&output.stderr);
        assert!(!output.status.success(), "{setting} was accepted");
        assert!(error.contains("schema") && error.contains(named), "{setting}: {error}");
    }
}

/// Settings, what the manifests then have, and what they have not.
const OPTIONS: [(&[&str], &[&str], &[&str]); 8] = [
    (
        &[],
        &[
            "kind: ClusterRole\n",
            "replicas: 2",
            "kind: PodDisruptionBudget",
            "readOnlyRootFilesystem: true",
            "image: teams-graph-operator:0.1.0",
        ],
        &[
            "ServiceMonitor",
            "PrometheusRule",
            "NetworkPolicy",
            "WATCH_NAMESPACE",
            "hostNetwork",
            "_LISTEN",
            "endpointslices",
            "-feeds",
        ],
    ),
    (&["replicaCount=1"], &["replicas: 1"], &["PodDisruptionBudget"]),
    (
        &["feeds.events.enabled=true", "feeds.events.port=8000"],
        &[
            "name: EVENTS_LISTEN",
            "name: FEEDS_SERVICE\n          value: x-teams-graph-operator-feeds",
            "port: 8000\n    targetPort: 8081",
            "resourceNames: [x-teams-graph-operator-feeds]",
            "fieldPath: spec.nodeName",
        ],
        &["SYSLOG_LISTEN", "syslog-udp", "externalTrafficPolicy", "NetworkPolicy"],
    ),
    (
        &[
            "feeds.syslog.enabled=true",
            "feeds.service.type=LoadBalancer",
            "feeds.service.loadBalancerSourceRanges={192.0.2.0/24}",
            "networkPolicy.enabled=true",
            "networkPolicy.feedsFrom[0].ipBlock.cidr=198.51.100.0/24",
        ],
        &[
            "type: LoadBalancer\n  externalTrafficPolicy: Local\n  loadBalancerSourceRanges:\n  - 192.0.2.0/24\n",
            "- port: syslog-udp\n      protocol: UDP\n    from:\n    - ipBlock:\n        cidr: 198.51.100.0/24\n",
        ],
        &["EVENTS_LISTEN", "port: events"],
    ),
    (
        &[
            "watchNamespace=demo",
            "rbac.aggregateUserRoles=false",
            "identityNamespaces={a,b}",
        ],
        &[
            "kind: Role\n",
            "namespace: demo",
            "name: WATCH_NAMESPACE",
            "name: IDENTITY_NAMESPACES\n          value: \"a,b\"",
        ],
        &["ClusterRole"],
    ),
    (
        &[
            "image.repository=registry.example/op",
            "image.digest=sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ],
        &[
            "image: registry.example/op@sha256:aaaa",
            "value: registry.example/op@sha256:aaaa",
        ],
        &[":0.1.0\n"],
    ),
    (
        &[
            "metrics.serviceMonitor.enabled=true",
            "metrics.podMonitor.enabled=true",
            "metrics.prometheusRule.enabled=true",
            "metrics.prometheusRule.runbookUrl=https://docs.example/runbooks",
            "networkPolicy.enabled=true",
        ],
        &[
            "kind: ServiceMonitor",
            "kind: PodMonitor",
            "kind: PrometheusRule",
            "kind: NetworkPolicy",
            "runbook_url: https://docs.example/runbooks/TeamsGraphNoLeader.md",
        ],
        &[],
    ),
    (
        &[
            "extraEnv[0].name=HTTPS_PROXY",
            "extraEnv[0].value=http://proxy.example:3128",
            "extraArgs[0]=--interval-seconds=60",
            "podLabels.azure\\.workload\\.identity/use=yes",
            "commonLabels.team=voice",
            "serviceAccount.annotations.note=x",
            "priorityClassName=high",
        ],
        &[
            "HTTPS_PROXY",
            "--interval-seconds=60",
            "azure.workload.identity/use",
            "team: voice",
            "note: x",
            "high",
        ],
        &[],
    ),
];

#[test]
fn options_reach_the_manifests() {
    for (settings, present, absent) in OPTIONS {
        let manifests = template("x", OPERATOR, "somewhere", settings);
        for wanted in present {
            assert!(manifests.contains(wanted), "{settings:?}: no {wanted:?}");
        }
        for unwanted in absent {
            assert!(!manifests.contains(unwanted), "{settings:?}: {unwanted:?}");
        }
    }
}

#[test]
fn releases_do_not_meet() {
    // Of everything that two releases make, kind, namespace and name.
    let made = |release: &str, namespace: &str, settings: &[&str]| -> BTreeSet<String> {
        let settings = [
            settings,
            &["metrics.podMonitor.enabled=true", "metrics.prometheusRule.enabled=true"],
        ]
        .concat();
        let documents = template(release, OPERATOR, namespace, &settings);
        let objects = documents
            .split("\n---\n")
            .map(|text| serde_saphyr::from_str::<Value>(text).unwrap());
        objects
            .map(|object| {
                format!(
                    "{} {} {}",
                    object["kind"], object["metadata"]["namespace"], object["metadata"]["name"]
                )
            })
            .collect()
    };
    let watched: [&str; 1] = ["watchNamespace=demo"];
    for (one, other) in [
        (made("op", "one", &[]), made("op", "two", &[])),
        (made("op", "one", &watched), made("op", "two", &watched)),
        (made("op", "one", &[]), made("other", "one", &[])),
    ] {
        let both: Vec<&String> = one.intersection(&other).collect();
        assert!(both.is_empty(), "{both:?}");
    }
}

#[test]
fn the_longest_names_leave_room() {
    let release = "r".repeat(53);
    let manifests = template(&release, OPERATOR, "somewhere", &["metrics.podMonitor.enabled=true"]);
    for line in manifests.lines() {
        if let Some(name) = line.strip_prefix("  name: ") {
            assert!(name.len() <= 63 || name.contains(':'), "{name}");
        }
    }
    // Kubernetes cuts a pod's name before the last of its two suffixes, of 10 and 5 characters.
    let deployment = manifests.split("kind: Deployment\nmetadata:\n  name: ").nth(1).unwrap();
    assert!(deployment.lines().next().unwrap().len() <= 63 - 11 - 6);
}

#[test]
fn the_alert_on_a_missing_leader_is_of_this_release() {
    let manifests = template("two", OPERATOR, "voice", &["metrics.prometheusRule.enabled=true"]);
    let wanted = r#"teamsgraph_leader{namespace=\"voice\", pod=~\"two-teams-graph-operator-[^-]+-[^-]+\"}"#;
    assert!(manifests.contains(wanted), "no {wanted}");
    assert!(!manifests.contains("OPERATOR_N"), "a placeholder is left");
}

#[test]
fn a_service_monitor_without_its_service_is_refused() {
    let settings = "metrics.service.enabled=false,metrics.serviceMonitor.enabled=true";
    let output = output(&mut helm(&["template", "x", OPERATOR, "--set", settings]));
    assert!(!output.status.success(), "accepted");
    assert!(
        text(&output.stderr).contains("metrics.service.enabled"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_real_api_server_accepts_the_manifests() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    apply(&[], &read("deploy/crds.yaml"));
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "--filename",
        "crds",
    ];
    assert!(
        kubectl(&established, "").status.success(),
        "the CRDs were not established"
    );
    // A dry run does not make the namespace in which it would put the rest.
    let (ours, demo) = (unique("chart-manifests"), unique("chart-demo"));
    namespace(&ours);
    namespace(&demo);
    // As a person does: a namespace is named only for what names none.
    let check = |manifests: &str, more: &[&str]| {
        let command = "apply --server-side --dry-run=server --validate=strict --filename -";
        let output = kubectl(&[&command.split(' ').collect::<Vec<_>>(), more].concat(), manifests);
        let said = text(&output.stderr);
        assert!(output.status.success() && !said.contains("Warning"), "{said}");
    };
    // The API server warns of pods that are not restricted.
    let warn = "pod-security.kubernetes.io/warn: restricted";
    let restricted = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {ours}, labels: {{{warn}}}}}}}");
    apply(&[], &restricted);
    check(&read("deploy/operator.yaml").replace("teams-graph-system", &ours), &[]);
    let listening = [
        "networkPolicy.enabled=true",
        "feeds.events.enabled=true",
        "feeds.syslog.enabled=true",
        "feeds.service.type=LoadBalancer",
        "feeds.service.loadBalancerSourceRanges={192.0.2.0/24}",
    ];
    check(&template("x", OPERATOR, &ours, &listening), &[]);
    let watched = format!("watchNamespace={demo}");
    check(&template("x", OPERATOR, &ours, &[&watched]), &[]);
    let configured = ["ca.configMap=ca", "config.settings.challenges=true"];
    check(&template("x", SIMULATOR, &ours, &configured), &[]);
    for sample in [
        "secret.example",
        "graphtenant.yaml",
        "notificationreceiver.yaml",
        "graphsubscription.yaml",
        "presencesync.yaml",
        "teamsconnectorhealth.yaml",
    ] {
        check(
            &read(&format!("deploy/samples/{sample}")),
            &["--namespace", demo.as_str()],
        );
    }
    kubectl(&["delete", "--wait=false", "namespace", &ours, &demo], "");
}

/// Group, resource, and the verbs that are allowed in a watched namespace. Every other verb must be refused.
const RIGHTS: [(&str, &str, &[&str]); 28] = [
    ("teamsgraph.dev", "graphtenants", &["list", "watch", "patch"]),
    ("teamsgraph.dev", "notificationreceivers", &["list", "watch", "patch"]),
    (
        "teamsgraph.dev",
        "graphsubscriptions",
        &["get", "list", "watch", "patch"],
    ),
    ("teamsgraph.dev", "presencesyncs", &["list", "watch", "patch"]),
    ("teamsgraph.dev", "presencesyncs/status", &["patch"]),
    ("teamsgraph.dev", "presencesyncs/finalizers", &["update"]),
    ("teamsgraph.dev", "teamsconnectorhealths", &["list", "watch"]),
    ("teamsgraph.dev", "teamsconnectorhealths/status", &["patch"]),
    ("teamsgraph.dev", "graphtenants/status", &["patch"]),
    ("teamsgraph.dev", "notificationreceivers/status", &["patch"]),
    ("teamsgraph.dev", "graphsubscriptions/status", &["patch"]),
    ("teamsgraph.dev", "notificationreceivers/finalizers", &["update"]),
    ("", "secrets", &["get", "create"]),
    ("", "configmaps", &["get", "create", "patch"]),
    ("", "services", &["get", "create", "patch"]),
    ("", "namespaces", &["get"]),
    ("", "pods", &[]),
    ("", "pods/exec", &[]),
    ("", "serviceaccounts/token", &[]),
    ("", "persistentvolumeclaims", &[]),
    ("apps", "statefulsets", &["get", "list", "watch", "create", "patch"]),
    ("apps", "deployments", &[]),
    ("policy", "poddisruptionbudgets", &["get", "create", "patch"]),
    ("networking.k8s.io", "ingresses", &["get", "create", "patch", "delete"]),
    (
        "gateway.networking.k8s.io",
        "httproutes",
        &["get", "create", "patch", "delete"],
    ),
    ("events.k8s.io", "events", &["create", "patch"]),
    ("discovery.k8s.io", "endpointslices", &[]),
    ("rbac.authorization.k8s.io", "clusterroles", &[]),
];
const VERBS: [&str; 9] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "escalate",
];

struct Judge {
    reviews: Api<SubjectAccessReview>,
    user: String,
}

impl Judge {
    async fn allows(&self, verb: &str, group: &str, resource: &str, namespace: &str, name: Option<&str>) -> bool {
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
            None => (resource, None),
        };
        let attributes = ResourceAttributes {
            verb: Some(verb.to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource,
            namespace: Some(namespace.to_owned()),
            name: name.map(str::to_owned),
            ..Default::default()
        };
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(self.user.clone()),
                resource_attributes: Some(attributes),
                ..Default::default()
            },
            ..Default::default()
        };
        let answer = self.reviews.create(&PostParams::default(), &review).await.unwrap();
        answer.status.is_some_and(|status| status.allowed)
    }

    async fn check(&self, namespace: &str, watched: bool) {
        for (group, resource, allowed) in RIGHTS {
            for verb in VERBS {
                let wanted = watched && allowed.contains(&verb);
                let may = self.allows(verb, group, resource, namespace, None).await;
                assert_eq!(may, wanted, "{verb} {resource}.{group} in {namespace}");
            }
        }
    }

    async fn check_lease(&self, namespace: &str, lease: &str) {
        for verb in VERBS {
            let own = self
                .allows(verb, "coordination.k8s.io", "leases", namespace, Some(lease))
                .await;
            let other = self
                .allows(verb, "coordination.k8s.io", "leases", namespace, Some("other"))
                .await;
            assert_eq!(own, ["get", "update", "create"].contains(&verb), "{verb} the lease");
            assert_eq!(other, verb == "create", "{verb} another lease");
        }
    }
}

impl Judge {
    /// Of the way to the leader, which is asked for in the release's namespace alone.
    async fn check_feeds(&self, namespace: &str, slice: &str) {
        for verb in VERBS {
            let group = "discovery.k8s.io";
            let own = self.allows(verb, group, "endpointslices", namespace, Some(slice)).await;
            let other = self
                .allows(verb, group, "endpointslices", namespace, Some("other"))
                .await;
            let elsewhere = self.allows(verb, group, "endpointslices", "default", Some(slice)).await;
            assert_eq!(own, ["patch", "create", "delete"].contains(&verb), "{verb} the slice");
            assert_eq!(other, verb == "create", "{verb} another slice");
            assert!(!elsewhere, "{verb} a slice elsewhere");
        }
    }
}

/// Roles and service account of the chart alone.
fn install_rights(release: &str, namespace: &str, settings: &[&str]) {
    let mut command = helm(&["template", release, OPERATOR, "--namespace", namespace]);
    for file in ["templates/rbac.yaml", "templates/serviceaccount.yaml"] {
        command.args(["--show-only", file]);
    }
    for setting in settings {
        command.args(["--set", setting]);
    }
    apply(&[], &succeed(&mut command));
}

#[tokio::test]
async fn the_controller_may_do_what_it_needs_and_nothing_else() {
    let (everywhere, own, watched) = (unique("chart-all"), unique("chart-one"), unique("chart-watched"));
    for name in [&everywhere, &own, &watched] {
        namespace(name);
    }
    install_rights(&everywhere, &everywhere, &["fullnameOverride="]);
    let only = format!("watchNamespace={watched}");
    install_rights(&own, &own, &[&only, "feeds.syslog.enabled=true"]);
    let reviews: Api<SubjectAccessReview> = Api::all(Client::try_default().await.unwrap());
    let judge = |release: &str| Judge {
        reviews: reviews.clone(),
        user: format!("system:serviceaccount:{release}:{release}-teams-graph-operator"),
    };

    let all = judge(&everywhere);
    all.check("default", true).await;
    all.check_lease(&everywhere, &format!("{everywhere}-teams-graph-operator"))
        .await;
    assert!(
        !all.allows("get", "coordination.k8s.io", "leases", "kube-system", None)
            .await
    );

    let one = judge(&own);
    one.check(&watched, true).await;
    one.check("default", false).await;
    one.check_lease(&own, &format!("{own}-teams-graph-operator")).await;
    one.check_feeds(&own, &format!("{own}-teams-graph-operator-feeds"))
        .await;

    for release in [&everywhere, &own] {
        let name = format!("{release}:{release}-teams-graph-operator");
        kubectl(
            &["delete", "--ignore-not-found", "clusterrole,clusterrolebinding", &name],
            "",
        );
    }
    kubectl(
        &["delete", "--wait=false", "namespace", &everywhere, &own, &watched],
        "",
    );
}
