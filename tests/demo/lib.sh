# shellcheck shell=bash disable=SC2034 # used elsewhere
# Shared by the demo and the end-to-end tests: image, cluster, installation, and
# talking to the simulator.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$repo/target/demo # certificates and images
system=teams-graph-system
program_name=$(basename "$(dirname "$(realpath "$0")")")

say() { printf '%s: %s\n' "$program_name" "$*" >&2; }
# die CAUSE REMEDY
die() {
  say "error: $1"
  say "remedy: $2"
  exit 1
}

# step TEXT: a headline with the time since the start
step() { printf '\n%s [%3d s] %s\n' "$program_name" "$SECONDS" "$*" >&2; }

# until_true SECONDS WHAT COMMAND…: waits, and says every ten seconds what for
until_true() {
  local begin=$SECONDS end=$((SECONDS + $1)) what=$2 told=$SECONDS
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $end ]; then
      say "error: $what: not after $((SECONDS - begin)) s"
      return 1
    fi
    if [ $((SECONDS - told)) -ge 10 ]; then
      told=$SECONDS
      say "waiting for $what ($((SECONDS - begin)) s)"
    fi
    sleep 0.3
  done
}

# ---------------------------------------------------------------- image

# Sets $binary. The image has no libc, so the program must be static.
build_program() {
  local target
  target=$(uname -m)-unknown-linux-gnu
  binary=${TEAMSGRAPH_BIN:-}
  if [ -n "$binary" ]; then return; fi
  command -v cargo >/dev/null || die "cargo is not in PATH" "install Rust 1.95 or newer (https://rustup.rs)"
  binary=${CARGO_TARGET_DIR:-$repo/target}/$target/release/teams-graph-operator
  if [ ! -x "$binary" ]; then say "the first build takes about ten minutes on two cores"; fi
  RUSTFLAGS='-C target-feature=+crt-static' \
    cargo build --release --locked --target "$target" --manifest-path "$repo/Cargo.toml" >&2 ||
    die "the program does not compile" "read cargo's message above"
}

# Sets $image (a name) and $image_tar. The tag follows the content, so a new
# program is rolled out.
build_image() {
  local tag
  tag=$(sha256sum "$binary" | cut -c1-12)
  image=localhost/teams-graph-operator:$tag
  image_tar=$work/teams-graph-operator-$tag.tar
  if [ -f "$image_tar" ]; then return; fi
  rm -f "$work"/teams-graph-operator-*.tar
  # The program has its file's name in the image.
  ln -sfn "$(realpath "$binary")" "$work/teams-graph-operator"
  "$repo/tests/cluster/image" "$image_tar" "$image" "$work/teams-graph-operator"
}

# ---------------------------------------------------------------- cluster

# A cluster of our own unless DEMO_CLUSTER=current. Sets PATH, KUBECONFIG and $kubectl_name.
prepare_cluster() {
  local bin tools_pid='' helm_bin
  case ${DEMO_CLUSTER:-own} in
    own)
      command -v go >/dev/null || die "go is not in PATH" "install Go 1.26 or newer (https://go.dev/dl), or use a cluster of yours with DEMO_CLUSTER=current"
      # Both take minutes the first time.
      "$repo/tests/cluster/build" node >"$work/bin" &
      tools_pid=$!
      if [ -z "${DEMO_IMAGE:-}" ]; then build_program; fi
      wait $tools_pid || die "the programs of the test cluster could not be built" "read the message above; or use DEMO_CLUSTER=current"
      bin=$(cat "$work/bin")
      # What a person types: ours is in a folder that is not in their PATH.
      kubectl_name=$(command -v kubectl >/dev/null && echo kubectl || echo "$bin/kubectl")
      PATH=$bin:$PATH
      if [ -z "${DEMO_IMAGE:-}" ]; then build_image; else image=$DEMO_IMAGE; fi
      step "A node with real pods"
      KUBECONFIG=$("$repo/tests/cluster/node" up)
      if [ -z "${DEMO_IMAGE:-}" ] && ! "$repo/tests/cluster/node" exec ctr --namespace k8s.io images list --quiet | grep -qxF "$image"; then
        "$repo/tests/cluster/node" load "$image_tar"
      fi
      ;;
    current)
      command -v kubectl >/dev/null || die "kubectl is not in PATH" "install it (https://kubernetes.io/docs/tasks/tools)"
      kubectl_name=kubectl
      kubectl version >/dev/null || die "the cluster of the current kubeconfig does not answer" "check: kubectl config current-context"
      if ! command -v helm >/dev/null; then
        helm_bin=$("$repo/tests/cluster/build" helm)
        PATH=$PATH:$helm_bin
      fi
      provide_image
      ;;
    *) die "DEMO_CLUSTER=$DEMO_CLUSTER is unknown" "leave it empty for a cluster of its own, or say current" ;;
  esac
  export PATH KUBECONFIG
}

# The image of a cluster that is not ours: loaded into kind and k3d, pulled elsewhere.
provide_image() {
  local context
  if [ -n "${DEMO_IMAGE:-}" ]; then
    image=$DEMO_IMAGE
    return
  fi
  context=$(kubectl config current-context 2>/dev/null || true)
  case $context in
    kind-*) command -v kind >/dev/null || die "the cluster looks like kind's, but kind is not in PATH" "install kind, or name an image that the cluster can pull in DEMO_IMAGE" ;;
    k3d-*) command -v k3d >/dev/null || die "the cluster looks like k3d's, but k3d is not in PATH" "install k3d, or name an image that the cluster can pull in DEMO_IMAGE" ;;
    *) die "nobody knows how to bring an image into the cluster ${context:-of this kubeconfig}" "push one to a registry that it can pull from, and say DEMO_IMAGE=REGISTRY/teams-graph-operator:TAG" ;;
  esac
  build_program
  build_image
  case $context in
    kind-*) kind load image-archive "$image_tar" --name "${context#kind-}" >&2 ;;
    k3d-*) k3d image import "$image_tar" --cluster "${context#k3d-}" >&2 ;;
  esac
}

# ---------------------------------------------------------------- installation

# A CA, and a certificate signed by it for the receiver of the demo and that of the end-to-end tests.
make_certificates() {
  local host=calls-receiver.demo.svc
  if [ -f "$work/tls.crt" ] && openssl x509 -in "$work/tls.crt" -checkend 86400 -noout >/dev/null; then return; fi
  command -v openssl >/dev/null || die "openssl is not in PATH" "install OpenSSL 3"
  (
    cd "$work"
    # Without the system's configuration, which may add extensions of its own.
    printf '[req]\ndistinguished_name = dn\n[dn]\n' >openssl.cnf
    new() { openssl req -x509 -config openssl.cnf -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 "$@"; }
    new -subj '/CN=demo CA' -keyout ca.key -out ca.crt -addext basicConstraints=critical,CA:TRUE \
      -addext keyUsage=critical,keyCertSign
    new -subj "/CN=$host" -keyout tls.key -out tls.crt -CA ca.crt -CAkey ca.key -addext "subjectAltName=DNS:$host,DNS:calls-receiver.teams-graph-e2e.svc" \
      -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=serverAuth
  ) 2>"$work/openssl.log" || die "openssl could not make a certificate: $(tail -n 1 "$work/openssl.log")" "install OpenSSL 3"
}

# put KIND ARGUMENT…: kubectl create, but also when it is there already
put() { kubectl create "$@" --dry-run=client --output yaml | kubectl apply --server-side --force-conflicts --filename - >&2; }

# Marked, so that only what was made here is changed and removed; and limited as far as Kubernetes can.
mark=app.kubernetes.io/created-by=teams-graph-demo
make_namespaces() {
  local name
  for name in "$@"; do
    if [ -n "$(found namespace "$name")" ]; then continue; fi
    kubectl create --filename - >&2 <<EOF
apiVersion: v1
kind: Namespace
metadata: {name: $name, labels: {${mark/=/: }, pod-security.kubernetes.io/enforce: restricted}}
EOF
  done
}
remove_namespaces() {
  local name
  for name in "$@"; do
    kubectl delete namespace --selector "$mark,kubernetes.io/metadata.name=$name" --timeout=180s >&2
  done
}
# found KIND NAME…: those that exist
found() { kubectl get "$@" --ignore-not-found --output name; }
# ours NAMESPACE: it exists and has the mark
ours() { [ -n "$(kubectl get namespace --selector "$mark,kubernetes.io/metadata.name=$1" --output name)" ]; }

# crds_are_ours: as Helm has marked them, they came with a release in our own namespace
crds=(graphtenants.teamsgraph.dev notificationreceivers.teamsgraph.dev graphsubscriptions.teamsgraph.dev presencesyncs.teamsgraph.dev teamsconnectorhealths.teamsgraph.dev)
crds_are_ours() {
  local releases
  releases=$(kubectl get crd "${crds[@]}" --ignore-not-found \
    --output 'jsonpath={range .items[*]}{.metadata.annotations.meta\.helm\.sh/release-namespace}{"\n"}{end}' | sort -u)
  [ "$releases" = "$system" ] && ours "$system"
}

# refuse_a_real_one NAMESPACE…: a person's cluster may have an installation that is in use. Only one with our mark is touched.
refuse_a_real_one() {
  local name
  for name in "$system" simulator "$@"; do
    if [ -n "$(found namespace "$name")" ] && ! ours "$name"; then
      die "there is a namespace $name that the demo did not make" \
        "use another cluster; or, if all in it may be changed and removed: kubectl label namespace $name $mark"
    fi
  done
  if [ -n "$(found crd "${crds[@]}")" ] && ! crds_are_ours; then
    die "the kinds of teamsgraph.dev are installed already, and not by the demo" \
      "use another cluster: here, the demo's operator would take over every object"
  fi
}

# image_values: $image for Helm. A registry may have a port, and a digest may stand in place of the tag.
image_values() {
  local name=$image digest='' tag=''
  case $name in *@*) digest=${name#*@} name=${name%%@*} ;; esac
  case ${name##*/} in *:*) tag=${name##*:} name=${name%:*} ;; esac
  if [ -z "$digest$tag" ]; then tag=latest; fi
  printf 'image: {repository: "%s", tag: "%s", digest: "%s"}\n' "$name" "$tag" "$digest"
}

# install_charts: simulator, CRDs and operator, by Helm
install_charts() {
  local ca image_values
  image_values=$(image_values)
  # In the name: pods start anew when it changes.
  ca=demo-ca-$(sha256sum "$work/ca.crt" | cut -c1-8)
  make_namespaces "$system" simulator
  put configmap "$ca" --namespace "$system" --from-file=ca.crt="$work/ca.crt"
  put configmap "$ca" --namespace simulator --from-file=ca.crt="$work/ca.crt"
  helm upgrade --install teams-graph-operator-crds "$repo/charts/teams-graph-operator-crds" --namespace "$system" >&2
  kubectl wait --for=condition=Established --timeout=60s --filename "$repo/crds" >&2
  helm upgrade --install simulator "$repo/charts/teams-graph-simulator" --namespace simulator \
    --set ca.configMap="$ca" --values - >&2 <<<"$image_values"
  helm upgrade --install teams-graph-operator "$repo/charts/teams-graph-operator" --namespace "$system" --values - >&2 <<EOF
$image_values
# The receiver's certificate comes from the demo's own CA.
extraEnv: [{name: SSL_CERT_FILE, value: /etc/demo-ca/ca.crt}]
extraVolumes: [{name: demo-ca, configMap: {name: $ca}}]
extraVolumeMounts: [{name: demo-ca, mountPath: /etc/demo-ca, readOnly: true}]
EOF
  kubectl rollout status --namespace simulator --timeout=120s deployment/teams-graph-simulator >&2
  kubectl rollout status --namespace "$system" --timeout=120s deployment/teams-graph-operator >&2
}

# apply_samples NAMESPACE [SED_SCRIPT]: what a notification needs of deploy/samples, with the demo's secrets
apply_samples() {
  local file
  make_namespaces "$1"
  put secret tls calls-tls --namespace "$1" --cert="$work/tls.crt" --key="$work/tls.key"
  # The simulator's app and its secret; nothing secret about it.
  put secret generic contoso-app --namespace "$1" --from-literal=clientSecret=simulator-secret
  for file in graphtenant notificationreceiver graphsubscription; do
    sed -e "${2:-}" "$repo/deploy/samples/$file.yaml" | kubectl apply --namespace "$1" --filename - >&2
  done
}

# ---------------------------------------------------------------- simulator

# The way to pods and services: the API server's proxy, at a socket in a folder that only this user may enter.
# Unlike a port-forward it outlives the pods and API servers that the tests kill.
start_proxy() {
  command -v curl >/dev/null || die "curl is not in PATH" "install it"
  proxy_dir=$(mktemp -d)
  kubectl proxy --unix-socket "$proxy_dir/api" >"$proxy_dir/log" 2>&1 &
  proxy_pid=$!
  until_true 20 "kubectl proxy" test -S "$proxy_dir/api" || die "kubectl proxy does not start: $(cat "$proxy_dir/log")" "see its message"
}
stop_proxy() {
  if [ -n "${proxy_pid:-}" ]; then kill "$proxy_pid" 2>/dev/null || true; fi
  if [ -n "${proxy_dir:-}" ]; then rm -rf "$proxy_dir"; fi
}

# ask METHOD API_PATH [BODY]
ask() {
  curl --silent --show-error --fail-with-body --max-time 60 --unix-socket "$proxy_dir/api" --request "$1" \
    --header 'Content-Type: application/json' ${3+--data "$3"} "http://localhost$2"
}

# sim METHOD PATH [BODY]: the simulator's admin API
sim() { ask "$1" "/api/v1/namespaces/simulator/services/teams-graph-simulator:http/proxy/_simulator$2" "${@:3}"; }

# field NAME: the first value with this name in the JSON on standard input
field() { grep -oE "\"$1\":(\"[^\"]*\"|[^,}]*)" | sed -E '2,$d' | sed -E 's/^"[^"]*"://; s/^"(.*)"$/\1/'; }

# status NAMESPACE FIELD: of the sample subscription
status() { kubectl get graphsubscription --namespace "$1" call-records --output "jsonpath={.status.$2}"; }

# The subscriptions that live at the simulator, one id a line. Fails when the simulator cannot be asked.
live() {
  local list
  list=$(sim GET /subscriptions) || return 1
  grep -oE '"id":"[^"]*"' <<<"$list" | cut -d '"' -f 4 || true
}
none() {
  local ids
  ids=$(live) && [ -z "$ids" ]
}
exactly_one() {
  local ids
  ids=$(live) && [ -n "$ids" ] && [ "$(wc -l <<<"$ids")" -eq 1 ]
}

# metrics URL: from a pod or service, through the API server
metrics() { ask GET "$1/proxy/metrics"; }

# ---------------------------------------------------------------- when it fails

# diagnose NAMESPACE: what a person would look at first
diagnose() {
  say "what there is to see:"
  {
    kubectl get pods,graphtenants,notificationreceivers,graphsubscriptions --namespace "$1" --output wide
    kubectl describe graphtenants,notificationreceivers,graphsubscriptions --namespace "$1" | grep -A 200 '^Status:' | tail -n 150
    kubectl get events --namespace "$1" --sort-by=.lastTimestamp | tail -n 20
    kubectl get pods --namespace "$system" --output wide
    kubectl get pods --namespace simulator --output wide
    echo "--- log of the controllers"
    kubectl logs --namespace "$system" --selector app.kubernetes.io/name=teams-graph-operator --prefix --tail 25
    echo "--- log of the receiver"
    kubectl logs --namespace "$1" --selector app.kubernetes.io/name=teams-graph-receiver --prefix --tail 15
    echo "--- log of the simulator"
    kubectl logs --namespace simulator deployment/teams-graph-simulator --tail 15
  } >&2 2>&1 || true
}
