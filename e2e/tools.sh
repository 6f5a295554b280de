#!/usr/bin/env bash
# Installs what the live tests run against: several containerds, a Docker Engine, a registry, a stock OpenTelemetry Collector and its load
# generator, Prometheus, what renders and checks the chart (Helm 3 and 4, kubeconform, and the schemas of Kubernetes and of three operators), a
# Kubernetes of one node, and a Node for the web UI where the one here is too old.
#
# usage: e2e/tools.sh          on Debian 12, as root; what is there already in the pinned version is left alone
#   folder   $PULLTRACE_TOOLS, default $HOME/.cache/pulltrace-tools; nothing outside it is changed, except that apt-get installs
#            the library runc needs when it is missing
#   layout   containerd-VERSION/bin/{containerd,ctr,...} for 1.6, 1.7, 2.1, 2.4; docker-28/bin/{dockerd,docker};
#            podman-4/{bin/{podman,conmon},lib};
#            bin/{runc,docker-registry,otelcol,telemetrygen,prometheus,promtool,helm3,helm4,kubeconform}, prometheus-3/bin/{prometheus,promtool},
#            schemas/{kubernetes.json,*.yaml}; node/bin/node; for cluster.sh bin/{etcd,kube-apiserver,kubelet,...,kubectl,coredns,busybox}, cni/
#   sources  Debian packages of several suites, unpacked and never installed; Go modules for the rest, where Go is; Node from npm
# Ends with 1 if the registry or every containerd is missing (nothing live can be tested then), else with 0. Whatever could not be
# had is named on the last lines; the tests that need it skip themselves by name.
# Beside all that, for the checks of workflows and documents: bin/{actionlint,mdbook}, from a Go module and a crate.
set -euo pipefail

TOOLS=${PULLTRACE_TOOLS:-$HOME/.cache/pulltrace-tools}
[[ $TOOLS == /* ]] || TOOLS=$PWD/$TOOLS
OTELCOL=0.161.0
HELM3=3.22.0 HELM4=4.3.1 KUBECONFORM=0.8.0 KUBERNETES=1.36.3 COREDNS=1.15.0
PATIENCE=15m # for the build of Kubernetes, which takes five minutes on two processors that have nothing else to do
NODE=22.23.3
TELEMETRYGEN=github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen
MISSING=()
ACTIONLINT=1.7.12 MDBOOK=0.5.4
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
# What Go downloads and compiles goes with the rest: some ten gigabytes, of which less than two become programs.
export GOMODCACHE=$WORK/go/mod GOCACHE=$WORK/go/build GOTMPDIR=$WORK GOFLAGS=-modcacherw

say() { printf 'tools: %s\n' "$*" >&2; }
missing() { MISSING+=("$1"); }
has() { [[ $("$TOOLS/$1" --version 2>/dev/null) == *"$2"* ]]; }      # PROGRAM VERSION
loads() { [[ $(ldd "$1" 2>&1) != *"not found"* ]]; }                 # false: needs a newer libc or a library that is not here

# An apt configuration of our own with the suites we take from, at the mirror this machine already uses: apt itself tells the address.
# A mirror may stand still (forky's index expires after a week); what it has is still signed, and the versions are pinned.
apt_suites() {
  [ ! -e "$WORK/apt.conf" ] || return 0
  local own mirror suite
  own=$(. /etc/os-release; echo "${VERSION_CODENAME:-bookworm}")
  mirror=$(apt-get update --print-uris | sed -n "s#^'\(.*\)/dists/$own/InRelease'.*#\1#p" | head -n 1)
  [ -n "$mirror" ] || { say "apt names no mirror for $own"; return 1; }
  mkdir -p "$WORK/lists/partial" "$WORK/cache/archives/partial"
  for suite in bookworm trixie forky; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
  done >"$WORK/sources.list"
  cat >"$WORK/apt.new" <<C
Dir::Etc::sourcelist "$WORK/sources.list"; Dir::Etc::sourceparts "-";
Dir::Etc::preferences "/dev/null"; Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$WORK/lists"; Dir::Cache "$WORK/cache";
APT::Sandbox::User "root"; Acquire::Languages "none"; Acquire::Retries "3"; Acquire::Check-Valid-Until "false";
C
  apt-get -c "$WORK/apt.new" -qq update && mv "$WORK/apt.new" "$WORK/apt.conf"
}

# The pinned version of a package, else what its suite has today, unpacked to $WORK/PACKAGE-SUITE/root.
unpacked() { # PACKAGE VERSION SUITE
  local at=$WORK/$1-$3
  apt_suites && mkdir -p "$at/root" && cd "$at" || return 1
  if ! apt-get -c "$WORK/apt.conf" -qq download "$1=$2" 2>/dev/null; then
    say "$1 $2 is no longer at the mirror; taking the one of $3"
    apt-get -c "$WORK/apt.conf" -qq download "$1/$3" || return 1
  fi
  dpkg -x ./*.deb root
}

from_debian() { # FOLDER PACKAGE VERSION SUITE FILE...
  local folder=$TOOLS/$1 root=$WORK/$2-$4/root name="$2 $3" file
  unpacked "$2" "$3" "$4" || { say "$4 does not give $name"; return 1; }
  shift 4; mkdir -p "$folder"
  for file; do
    [ -e "$root/$file" ] || { say "the package of $name has no $file"; return 1; }
    loads "$root/$file" || { say "$name does not run here: $(ldd "$root/$file" 2>&1 | grep -m 1 'not found')"; return 1; }
    cp --remove-destination "$root/$file" "$folder/" || return 1
  done
  say "$name"
}

containerd_from_debian() { # MINOR UPSTREAM VERSION SUITE; a suite that has moved on to another minor version is as good as none
  local bin=containerd-$1/bin
  ! has "$bin/containerd" " $2" || return 0
  from_debian "$bin" containerd "$3" "$4" usr/bin/containerd usr/bin/ctr usr/bin/containerd-shim-runc-v2 && has "$bin/containerd" " $1." ||
    { rm -rf "${TOOLS:?}/containerd-$1"; return 1; }
}

docker_from_debian() { # MAJOR VERSION SUITE; the daemon and its command line, or nothing
  local bin=docker-$1/bin
  ! has "$bin/dockerd" " $1." || ! has "$bin/docker" " $1." || return 0
  from_debian "$bin" docker.io "$2" "$3" usr/sbin/dockerd && from_debian "$bin" docker-cli "$2" "$3" usr/bin/docker &&
    has "$bin/dockerd" " $1." && has "$bin/docker" " $1." || { rm -rf "${TOOLS:?}/docker-$1"; return 1; }
}

# With the libraries that a bare Debian 12 lacks, beside it; nothing is installed.
podman_from_debian() {
  local at=podman-4 lib=usr/lib/x86_64-linux-gnu
  [ "$(dpkg --print-architecture)" != arm64 ] || lib=usr/lib/aarch64-linux-gnu
  ! LD_LIBRARY_PATH=$TOOLS/$at/lib has "$at/bin/podman" " 4." || return 0
  from_debian "$at/lib" libsubid4 '1:4.13+dfsg1-1+deb12u2' bookworm "$lib/libsubid.so.4" &&
    from_debian "$at/lib" libassuan0 '2.5.5-5' bookworm "$lib/libassuan.so.0" &&
    LD_LIBRARY_PATH=$TOOLS/$at/lib from_debian "$at/lib" libgpgme11 '1.18.0-3+b1' bookworm "$lib/libgpgme.so.11" &&
    from_debian "$at/bin" conmon '2.1.6+ds1-1' bookworm usr/bin/conmon &&
    LD_LIBRARY_PATH=$TOOLS/$at/lib from_debian "$at/bin" podman '4.3.1+ds1-8+deb12u1+b3' bookworm usr/bin/podman &&
    LD_LIBRARY_PATH=$TOOLS/$at/lib has "$at/bin/podman" " 4." || { rm -rf "${TOOLS:?}/$at"; return 1; }
}

with_go() { # NAME COMMAND...: runs the command where Go is
  command -v go >/dev/null || { say "$1 needs Go, which is not installed"; return 1; }
  mkdir -p "$WORK/go-$1"
  "${@:2}" "$WORK/go-$1" >"$WORK/go-$1/log" 2>&1 || { tail -n 5 "$WORK/go-$1/log" >&2; say "$1 does not build"; return 1; }
  say "$1"
}

build_containerd() { # MINOR UPSTREAM FOLDER
  local module=github.com/containerd/containerd/v2
  cd "$3" && mkdir -p "$TOOLS/containerd-$1/bin" && go mod init tools && go get "$module@v$2" &&
    CGO_ENABLED=0 go build -mod=mod -trimpath -ldflags "-s -w -X $module/version.Version=$2" -o "$TOOLS/containerd-$1/bin/" \
      $module/cmd/{containerd,ctr,containerd-shim-runc-v2}
}

build_actionlint() { # FOLDER
  GOBIN=$1 CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' "github.com/rhysd/actionlint/cmd/actionlint@v$ACTIONLINT" &&
    mkdir -p "$TOOLS/bin" && cp --remove-destination "$1/actionlint" "$TOOLS/bin/"
}

# Debian's wants a newer libc than Debian 12 has; building it takes two minutes of a processor.
build_mdbook() {
  command -v cargo >/dev/null || { say "mdbook needs cargo, which is not installed"; return 1; }
  cargo install mdbook --version "$MDBOOK" --locked --no-default-features --features search --root "$WORK/mdbook" >"$WORK/mdbook.log" 2>&1 ||
    { tail -n 5 "$WORK/mdbook.log" >&2; say "mdbook does not build"; return 1; }
  mkdir -p "$TOOLS/bin" && cp --remove-destination "$WORK/mdbook/bin/mdbook" "$TOOLS/bin/" && say "mdbook $MDBOOK"
}

build_otelcol() { # FOLDER: with the OpenTelemetry project's own builder, and of its stock distribution what otel-config uses
  local module=go.opentelemetry.io/collector contrib=github.com/open-telemetry/opentelemetry-collector-contrib v=v$OTELCOL
  cat >"$1/build.yaml" <<C
dist: {name: otelcol, module: otelcol, version: $OTELCOL, output_path: $1/out}
receivers: [{gomod: $module/receiver/otlpreceiver $v}]
processors: [{gomod: $module/processor/memorylimiterprocessor $v}, {gomod: $contrib/processor/filterprocessor $v}, {gomod: $contrib/processor/transformprocessor $v}]
exporters: [{gomod: $module/exporter/otlpexporter $v}, {gomod: $module/exporter/otlphttpexporter $v}, {gomod: $module/exporter/debugexporter $v}]
extensions: [{gomod: $contrib/extension/healthcheckextension $v}]
C
  cd "$1" && CGO_ENABLED=0 go run "$module/cmd/builder@v$OTELCOL" --config build.yaml &&
    mkdir -p "$TOOLS/bin" && cp --remove-destination out/otelcol "$TOOLS/bin/"
}

build_telemetrygen() { # FOLDER: the OpenTelemetry project's own load generator; it says no version, its build information does
  GOBIN=$1 CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' "$TELEMETRYGEN@v$OTELCOL" &&
    mkdir -p "$TOOLS/bin" && cp --remove-destination "$1/telemetrygen" "$TOOLS/bin/"
}

build_chart_tools() { # FOLDER: as one module, in which they have most packages in common; separately they take more than twice as long
  local major version flags
  cd "$1" && mkdir -p "$TOOLS/bin" && go mod init tools &&
    go mod edit -require=helm.sh/helm/v3@v$HELM3 -require=helm.sh/helm/v4@v$HELM4 -require=github.com/yannh/kubeconform@v$KUBECONFORM || return 1
  for major in 4 3; do
    # Helm 3 is told for which Kubernetes it is built, as its releases are; Helm 4 knows.
    version=HELM$major flags="-s -w -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=$(cut -d. -f2 <<<"$KUBERNETES")"
    flags+=" -X helm.sh/helm/v$major/internal/version.version=v${!version}"
    CGO_ENABLED=0 go build -mod=mod -trimpath -ldflags "$flags" -o "$TOOLS/bin/helm$major" "helm.sh/helm/v$major/cmd/helm" || return 1
  done
  CGO_ENABLED=0 go build -mod=mod -trimpath -ldflags "-s -w -X main.version=v$KUBECONFORM" -o "$TOOLS/bin/" github.com/yannh/kubeconform/cmd/kubeconform
}

has_chart_tools() {
  [[ $("$TOOLS/bin/helm3" version --short 2>/dev/null) == "v$HELM3"* && $("$TOOLS/bin/helm4" version --short 2>/dev/null) == "v$HELM4"* &&
    $("$TOOLS/bin/kubeconform" -v 2>/dev/null) == "v$KUBECONFORM" ]]
}

build_coredns() { # FOLDER
  GOBIN=$1 CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' "github.com/coredns/coredns@v$COREDNS" &&
    mkdir -p "$TOOLS/bin" && cp --remove-destination "$1/coredns" "$TOOLS/bin/"
}

build_kubernetes() { # FOLDER: with the modules of its own repository as they are published, because their folders are only there
  local module flags='-s -w' version=v$KUBERNETES
  cd "$1" && go mod init tools && go mod edit -require="k8s.io/kubernetes@$version" || return 1
  while read -r module; do
    go mod edit -replace="$module=$module@v0.${KUBERNETES#1.}" || return 1
  done < <(sed -n 's#^\s*\(k8s.io/[a-z0-9-]*\) => \./staging.*#\1#p' \
    "$(go mod download -json "k8s.io/kubernetes@$version" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')")
  for module in component-base/version client-go/pkg/version; do
    flags+=" -X k8s.io/$module.gitVersion=$version -X k8s.io/$module.gitMajor=1 -X k8s.io/$module.gitMinor=$(cut -d . -f 2 <<<$KUBERNETES)"
  done
  mkdir -p "$TOOLS/bin" && CGO_ENABLED=0 timeout "$PATIENCE" go build -mod=mod -trimpath -ldflags "$flags" -o "$TOOLS/bin/" \
    k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy,kubelet,kubectl}
}

fetch_schemas() { # FOLDER: the API server's OpenAPI document, and CustomResourceDefinitions, as the modules of these projects hold them
  local module file monitoring=example/prometheus-operator-crd/monitoring.coreos.com
  while read -r module file; do
    cp --remove-destination "$(go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')/$file" "$1/" || return 1
  done <<M
k8s.io/kubernetes@v$KUBERNETES api/openapi-spec/swagger.json
github.com/prometheus-operator/prometheus-operator@v0.85.0 ${monitoring}_servicemonitors.yaml
github.com/prometheus-operator/prometheus-operator@v0.85.0 ${monitoring}_podmonitors.yaml
github.com/prometheus-operator/prometheus-operator@v0.85.0 ${monitoring}_prometheusrules.yaml
sigs.k8s.io/gateway-api@v1.6.0 config/crd/standard/gateway.networking.k8s.io_httproutes.yaml
github.com/grafana/grafana-operator/v5@v5.18.0 config/crd/bases/grafana.integreatly.org_grafanadashboards.yaml
M
  mkdir -p "$TOOLS/schemas" && cp --remove-destination "$1"/*.yaml "$TOOLS/schemas/" && chmod -R u+w "$TOOLS/schemas" &&
    cp --remove-destination "$1/swagger.json" "$TOOLS/schemas/kubernetes.json"
}

is_new() { "$1" -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null; }

node_from_npm() { # the program alone; npm itself is the one that is here
  local arch
  case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) return 1 ;; esac
  mkdir -p "$WORK/node" "$TOOLS/node/bin" && cd "$WORK/node" && npm pack --silent "node-linux-$arch@$NODE" >/dev/null 2>&1 &&
    tar -xzf ./*.tgz package/bin/node && cp --remove-destination package/bin/node "$TOOLS/node/bin/" && say "node $NODE"
}

[ "$(id -u)" = 0 ] || { say "needs root: apt's folders and the live tests do"; exit 1; }
command -v apt-get >/dev/null || { say "needs Debian: apt-get is missing"; exit 1; }
mkdir -p "$TOOLS"
exec 9>"$TOOLS/.lock"; flock 9 # two runs at once take turns

[[ $(ldconfig -p) == *libseccomp.so.2* ]] ||
  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends libseccomp2 >/dev/null; } </dev/null ||
  say "libseccomp2 could not be installed"
containerd_from_debian 1.6 1.6.20 '1.6.20~ds1-1+deb12u3' bookworm || missing "containerd 1.6"
containerd_from_debian 1.7 1.7.24 '1.7.24~ds1-6+deb13u1' trixie || missing "containerd 1.7"
containerd_from_debian 2.1 2.1.9 '2.1.9+ds1-5' forky || with_go containerd-2.1.9 build_containerd 2.1 2.1.9 || missing "containerd 2.1"
has containerd-2.4/bin/containerd " 2.4.2" || with_go containerd-2.4.2 build_containerd 2.4 2.4.2 || missing "containerd 2.4"
has bin/runc "runc version" || from_debian bin runc '1.1.5+ds1-1+deb12u1' bookworm usr/sbin/runc || missing "runc"
has bin/docker-registry docker-registry || from_debian bin docker-registry '2.8.3+ds1-3' forky usr/bin/docker-registry || missing "docker-registry"
docker_from_debian 28 '28.5.2+dfsg4-5' forky || missing "Docker Engine 28"
podman_from_debian || missing "podman 4"
has bin/actionlint "$ACTIONLINT" || with_go "actionlint-$ACTIONLINT" build_actionlint || missing "actionlint"
has bin/mdbook "v$MDBOOK" || { from_debian bin mdbook "$MDBOOK+ds-2" forky usr/bin/mdbook && has bin/mdbook "v$MDBOOK"; } || build_mdbook || missing "mdbook"
{ has bin/prometheus "prometheus, version" && has bin/promtool "promtool, version"; } ||
  from_debian bin prometheus '2.42.0+ds-5+deb12u1' bookworm usr/bin/prometheus usr/bin/promtool || missing "prometheus"
has prometheus-3/bin/prometheus "prometheus, version 3." ||
  { from_debian prometheus-3/bin prometheus '3.5.3+ds1-6' forky usr/bin/prometheus && has prometheus-3/bin/prometheus "prometheus, version 3."; } ||
  missing "prometheus 3"
has prometheus-3/bin/promtool "promtool, version 3." || from_debian prometheus-3/bin promtool '3.5.3+ds1-6' forky usr/bin/promtool ||
  missing "promtool 3"
[[ $("$TOOLS/bin/otelcol" components 2>/dev/null) == *"transformprocessor v$OTELCOL"* ]] || with_go "otelcol-$OTELCOL" build_otelcol || missing "otelcol"
[[ $(go version -m "$TOOLS/bin/telemetrygen" 2>/dev/null) == *"$TELEMETRYGEN"*"v$OTELCOL"* ]] ||
  with_go "telemetrygen-$OTELCOL" build_telemetrygen || missing "telemetrygen"
has_chart_tools || with_go "helm-$HELM3-$HELM4-kubeconform-$KUBECONFORM" build_chart_tools || missing "helm 3, helm 4, kubeconform"
[ -e "$TOOLS/schemas/kubernetes.json" ] || with_go schemas fetch_schemas || missing "schemas"
is_new node || is_new "$TOOLS/node/bin/node" || node_from_npm || missing "node"
# A Kubernetes of one node.
[ -e "$TOOLS/bin/busybox" ] || from_debian bin busybox-static '1:1.35.0-4+deb12u1+b1' bookworm bin/busybox || missing "busybox"
[ -e "$TOOLS/cni/bridge" ] || from_debian cni containernetworking-plugins '1.9.1+ds1-1' forky usr/lib/cni/{bridge,host-local,loopback} || missing "CNI plugins"
has bin/etcd "etcd Version" || from_debian bin etcd-server '3.5.30-2' forky usr/bin/etcd || missing "etcd"
[[ $("$TOOLS/bin/coredns" -version 2>/dev/null) == *"$COREDNS"* ]] || with_go "coredns-$COREDNS" build_coredns || missing "coredns"
has bin/kubelet "v$KUBERNETES" || with_go "kubernetes-$KUBERNETES" build_kubernetes || missing "kubernetes"

if [ ${#MISSING[@]} = 0 ]; then say "everything is in $TOOLS"; else printf 'tools: MISSING %s\n' "${MISSING[@]}" >&2; fi
has bin/docker-registry docker-registry || exit 1
for version in 1.6 1.7 2.1 2.4; do ! has "containerd-$version/bin/containerd" containerd || exit 0; done
exit 1
