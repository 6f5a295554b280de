#!/usr/bin/env bash
# A real Kubernetes of one node: etcd, API server, controller manager, scheduler, kube-proxy, kubelet, CoreDNS, and a containerd with a bridge
# network. It lives in namespaces of its own (network, mounts, processes), where everything has its usual port and path, so it touches nothing
# of the machine, and with its first process all of it is gone: pods, mounts, bridges and rules.
#
# usage: e2e/cluster.sh FOLDER        as root; runs until it is killed
#   FOLDER  an empty folder; holds all files and logs, `pid` (the first process), `cgroups`, and `ready` as soon as the node is; then admin.conf
#           (a kubeconfig), audit.log (what accounts asked of the API server), certs.d (containerd's registries), run, var-lib, var-log (what the
#           node has in /run, /var/lib and /var/log)
#   tools   from $PULLTRACE_TOOLS, as e2e/tools.sh leaves them
#   enter   nsenter --net --mount --target "$(cat FOLDER/pid)" kubectl --kubeconfig FOLDER/admin.conf ...
# addresses: node 10.88.0.1 (API server :6443), DNS 10.96.0.10, pods 10.244.0.0/24, Services 10.96.0.0/16. The image of every pod's sandbox is
# $PAUSE; whoever runs this provides it through certs.d.
set -euo pipefail

FOLDER=$(cd "$1" && pwd) TOOLS=${PULLTRACE_TOOLS:-$HOME/.cache/pulltrace-tools}
NODE=node-1 IP=10.88.0.1 DNS=10.96.0.10 PAUSE=registry.test/pause:1
API=https://$IP:6443 ETCD=http://127.0.0.1:2379

if [ "${2:-}" != inside ]; then
  # The first process within is killed with this one, and all others with it.
  exec unshare --net --uts --mount --pid --fork --kill-child --propagation private "$0" "$FOLDER" inside
fi
cd "$FOLDER"
export PATH=$TOOLS/bin:$TOOLS/containerd-2.1/bin:$PATH:/usr/sbin:/sbin TZ=UTC

part() { # NAME COMMAND...: in the background, with a log
  local name=$1; shift
  "$@" </dev/null >>"$FOLDER/log/$name.log" 2>&1 &
}

until_ok() { # SECONDS COMMAND...
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "cluster: did not come to be: $*" >&2; exit 1; }
    sleep 0.1
  done
}

kubeconfig() { # NAME TOKEN
  cat >"$1.conf" <<Y
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "$API", certificate-authority: $FOLDER/pki/apiserver.crt}}]
users: [{name: u, user: {token: $2}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
Y
}

# What the node writes goes to our folder, also what has its place in the system's.
mounts() {
  local folder
  read -r folder _ </proc/self/stat; echo "$folder" >pid # seen from outside, as long as /proc is the outside's
  mount --make-rshared /
  mount -t proc proc /proc
  mkdir -p log pki certs.d cni
  for folder in run var/lib var/log; do
    mkdir -p "${folder/\//-}" && mount --bind "${folder/\//-}" "/$folder"
  done
  mkdir -p /run/containerd /var/lib/kubelet /var/lib/containerd
}

# The node's own address is on a bridge without ports. A default route is needed so that packets to Services begin their way.
network() {
  local key
  hostname $NODE
  ip link set lo up
  ip link add node0 type bridge
  ip addr add $IP/24 dev node0
  ip addr add $DNS/32 dev node0
  ip link set node0 up
  ip route add default dev node0 src $IP
  for key in net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables; do
    sysctl -qw $key=1 2>/dev/null || true # without br_netfilter a pod cannot reach itself through a Service, no more
  done
  cat >cni/10-cluster.conflist <<Y
{"cniVersion": "1.0.0", "name": "cluster", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": true, "hairpinMode": true, "ipam": {"type": "host-local",
   "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
Y
}

control_plane() {
  openssl genrsa -out pki/sa.key 2048 2>/dev/null
  cat >pki/tokens <<Y
admin,admin,1,system:masters
node,system:node:$NODE,2,system:nodes
proxy,system:kube-proxy,3
Y
  cat >pki/audit.yaml <<Y
apiVersion: audit.k8s.io/v1
kind: Policy
rules: [{level: Metadata, omitStages: [RequestReceived], userGroups: ["system:serviceaccounts"]}]
Y
  kubeconfig admin admin; kubeconfig node node; kubeconfig proxy proxy
  part etcd etcd --data-dir "$FOLDER/etcd" --unsafe-no-fsync --log-level warn --listen-client-urls $ETCD --advertise-client-urls $ETCD
  # It makes its own certificate, and the authority of that, in pki/.
  part kube-apiserver kube-apiserver --etcd-servers $ETCD --bind-address $IP --advertise-address $IP --cert-dir "$FOLDER/pki" \
    --token-auth-file "$FOLDER/pki/tokens" --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged \
    --kubelet-preferred-address-types InternalIP --service-cluster-ip-range 10.96.0.0/16 \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$FOLDER/pki/sa.key" \
    --service-account-signing-key-file "$FOLDER/pki/sa.key" --audit-policy-file "$FOLDER/pki/audit.yaml" --audit-log-path "$FOLDER/audit.log"
  until_ok 90 kubectl --kubeconfig admin.conf get --raw /readyz
  part kube-controller-manager kube-controller-manager --kubeconfig "$FOLDER/admin.conf" --bind-address 127.0.0.1 --leader-elect=false \
    --cert-dir "$FOLDER/pki" --root-ca-file "$FOLDER/pki/apiserver.crt" --service-account-private-key-file "$FOLDER/pki/sa.key" \
    --use-service-account-credentials
  part kube-scheduler kube-scheduler --kubeconfig "$FOLDER/admin.conf" --bind-address 127.0.0.1 --leader-elect=false --cert-dir "$FOLDER/pki"
}

runtime() {
  cat >containerd.toml <<Y
version = 3
[plugins.'io.containerd.internal.v1.opt']
path = "$FOLDER/opt"
[plugins.'io.containerd.nri.v1.nri']
disable = true
[plugins.'io.containerd.cri.v1.images'.registry]
config_path = "$FOLDER/certs.d"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "$PAUSE"
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true              # for machines without CAP_SYS_RESOURCE
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["$TOOLS/cni"]
conf_dir = "$FOLDER/cni"
Y
  part containerd containerd -c "$FOLDER/containerd.toml"
  until_ok 30 ctr version
}

node() {
  # Nobody but the machine's root reaches this kubelet, so it asks nobody who they are.
  cat >kubelet.yaml <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $IP
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
volumePluginDir: /var/lib/kubelet/plugins
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
evictionHard: {memory.available: 100Mi}
imageGCHighThresholdPercent: 100
clusterDNS: [$DNS]
clusterDomain: cluster.local
resolvConf: ""
Y
  part kubelet kubelet --config kubelet.yaml --kubeconfig node.conf --hostname-override $NODE --node-ip $IP
  cat >proxy.yaml <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
hostnameOverride: $NODE
clusterCIDR: 10.244.0.0/24
clientConnection: {kubeconfig: $FOLDER/proxy.conf}
conntrack: {maxPerCore: 0}
Y
  part kube-proxy kube-proxy --config proxy.yaml
  cat >Corefile <<Y
.:53 {
  bind $DNS
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local {
    kubeconfig $FOLDER/admin.conf
    ttl 1
  }
}
Y
  part coredns coredns -conf Corefile
}

# A place of its own among the machine's control groups, in every hierarchy, so that pods of others are not taken for orphans.
control_groups() {
  local group groups=(/sys/fs/cgroup)
  CGROUP=pulltrace-cluster-$(<pid)
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    for group in $(</sys/fs/cgroup/cgroup.controllers); do echo "+$group" >/sys/fs/cgroup/cgroup.subtree_control || true; done 2>/dev/null
  else
    groups=(/sys/fs/cgroup/*/)
  fi
  for group in "${groups[@]}"; do
    mkdir -p "${group%/}/$CGROUP" && echo "${group%/}/$CGROUP"
  done >cgroups
  for group in cpus mems; do # a fresh group of the older cpuset has none
    [ ! -e "/sys/fs/cgroup/cpuset/cpuset.$group" ] || cat "/sys/fs/cgroup/cpuset/cpuset.$group" >"/sys/fs/cgroup/cpuset/$CGROUP/cpuset.$group"
  done
}

kube() { kubectl --kubeconfig admin.conf "$@"; }
answers() { (exec 3<>"/dev/tcp/$1/$2"); }

mounts
control_groups
network
control_plane
runtime
node
until_ok 60 kube wait --for=condition=Ready node/$NODE --timeout=1s
until_ok 30 kube get serviceaccount default
until_ok 30 answers 127.0.0.1 10256
until_ok 30 answers 127.0.0.1 8181
touch ready
wait
