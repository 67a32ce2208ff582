# shellcheck shell=bash disable=SC2034,SC2054 # used elsewhere; commas in options
# Shared by build, api and node: messages, credentials, the control plane.

cache=${TEAMSGRAPH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/teams-graph-operator}

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

# die CAUSE [REMEDY]
die() {
  say "error: $1"
  if [ $# -gt 1 ]; then say "remedy: $2"; fi
  exit 1
}

# seconds SINCE: with one decimal, since SINCE in microseconds ($EPOCHREALTIME
# without its point, which is a comma in some locales)
now() { echo "${EPOCHREALTIME//[.,]/}"; }
seconds() {
  local tenths=$((($(now) - $1) / 100000))
  echo "$((tenths / 10)).$((tenths % 10))"
}

# until_true SECONDS COMMAND…: false when COMMAND stays false for SECONDS
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $end ]; then return 1; fi
    sleep 0.1
  done
}

# Random, below the range from which the kernel takes ports for clients.
free_port() {
  local port
  while true; do
    port=$((20000 + RANDOM % 12000))
    if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
  done
  echo "$port"
}

# certificate NAME SUBJECT EXTENSION…: NAME.crt and NAME.key, signed by ca.
# Clients that verify strictly (rustls) want CA:FALSE and a SAN in it.
certificate() {
  local name=$1 subject=$2 extension options=()
  shift 2
  for extension; do options+=(-addext "$extension"); done
  if [ "$name" != ca ]; then options+=(-CA ca.crt -CAkey ca.key); fi
  openssl req -x509 -config openssl.cnf -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -days 365 -subj "$subject" -keyout "$name.key" -out "$name.crt" "${options[@]}" 2>openssl.log ||
    die "openssl could not make the certificate of $name: $(cat openssl.log)" "install OpenSSL 3"
}

# credentials DIR SAN…: certificates and tokens in DIR/pki
credentials() (
  local names
  mkdir -p "$1/pki"
  cd "$1/pki" || exit
  shift
  names=$(printf 'DNS:%s,' localhost kubernetes kubernetes.default kubernetes.default.svc)
  names+=$(printf ',IP:%s' "$@" | cut -c2-)
  printf '[req]\ndistinguished_name = dn\n[dn]\n' >openssl.cnf
  certificate ca /CN=ca basicConstraints=critical,CA:TRUE keyUsage=critical,keyCertSign subjectKeyIdentifier=hash
  certificate server /CN=kube-apiserver basicConstraints=CA:FALSE extendedKeyUsage=serverAuth "subjectAltName=$names"
  # How the API server proves itself to the kubelet (logs, exec): no token there.
  certificate kubelet-client /O=system:masters/CN=kube-apiserver basicConstraints=CA:FALSE extendedKeyUsage=clientAuth
  openssl ecparam -name prime256v1 -genkey -noout -out service-account.key
  # user, group: tokens are quicker to make than client certificates.
  : >tokens.csv
  while read -r name user group; do
    openssl rand -hex 16 >"$name.token"
    echo "$(cat "$name.token"),$user,$user,$group" >>tokens.csv
  done <<EOF
admin admin system:masters
controllers system:kube-controller-manager system:masters
scheduler system:kube-scheduler system:authenticated
proxy system:kube-proxy system:authenticated
kubelet system:node:n1 system:nodes
EOF
)

# kubeconfig FILE SERVER TOKEN_NAME, beside DIR/pki
kubeconfig() {
  local pki
  pki=$(dirname "$1")/pki
  cat >"$1" <<EOF
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: $3}}]
clusters:
- name: test
  cluster:
    server: $2
    certificate-authority-data: $(base64 -w 0 <"$pki/ca.crt")
users: [{name: $3, user: {token: $(cat "$pki/$3.token")}}]
EOF
  chmod 600 "$1" # helm warns about others
}

# control_plane DIR ADDRESS PORT ETCD_PORT: sets the command lines etcd,
# apiserver and controllers.
control_plane() {
  local dir=$1 address=$2 port=$3 etcd_port=$4
  etcd=(
    etcd --data-dir="$dir/etcd" --log-level=warn
    --unsafe-no-fsync # the data need not outlive a power failure
    --listen-client-urls="http://127.0.0.1:$etcd_port" --advertise-client-urls="http://127.0.0.1:$etcd_port"
    --listen-peer-urls=http://127.0.0.1:0
  )
  apiserver=(
    kube-apiserver --etcd-servers="http://127.0.0.1:$etcd_port"
    --advertise-address="$address" --secure-port="$port" --service-cluster-ip-range=10.96.0.0/16
    --tls-cert-file="$dir/pki/server.crt" --tls-private-key-file="$dir/pki/server.key"
    --client-ca-file="$dir/pki/ca.crt" --token-auth-file="$dir/pki/tokens.csv"
    --authorization-mode=Node,RBAC
    --service-account-issuer=https://kubernetes.default.svc
    --service-account-signing-key-file="$dir/pki/service-account.key"
    --service-account-key-file="$dir/pki/service-account.key"
    --kubelet-client-certificate="$dir/pki/kubelet-client.crt"
    --kubelet-client-key="$dir/pki/kubelet-client.key"
    --allow-privileged
  )
  controllers=(
    kube-controller-manager --kubeconfig="$dir/controllers.kubeconfig"
    --root-ca-file="$dir/pki/ca.crt" --service-account-private-key-file="$dir/pki/service-account.key"
    --leader-elect=false --secure-port=0
    --allocate-node-cidrs=false             # its controller waits 10 s before it starts
    --kube-api-qps=300 --kube-api-burst=600 # the default 20 per second makes up half of the start-up
  )
}
