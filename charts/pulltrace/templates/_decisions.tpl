{{/* What follows from values, where more than one template must come to the same. Yes is "true", no is "". */}}

{{/* How agents show who they are. Kubernetes writes a pod's node into its token from 1.30 on; the collector asks it whose a token is. */}}
{{- define "pulltrace.auth" -}}
{{- $able := and .Values.collector.kubernetes (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version) -}}
{{- default (ternary "serviceaccount" "token" $able) .Values.auth.mode -}}
{{- end -}}

{{/* Whether the chart makes the Secret with the agents' token. */}}
{{- define "pulltrace.token.own" -}}
{{- if and (eq (include "pulltrace.auth" .) "token") (not .Values.agent.auth.existingSecret) }}true{{ end -}}
{{- end -}}

{{/* The volume with the agents' token from a Secret, for those who show it and those who know it: dict "root" $ "mode" "0400". */}}
{{- define "pulltrace.token.volume" -}}
{{- $auth := .root.Values.agent.auth -}}
name: agent-token
secret:
  secretName: {{ default (printf "%s-token" (include "pulltrace.agent" .root)) $auth.existingSecret }}
  items: [{key: {{ ternary $auth.existingSecretKey "token" (not (empty $auth.existingSecret)) }}, path: token}]
  defaultMode: {{ .mode }}
{{- end -}}

{{/* The account of a component: dict "root" $ "component" "agent" "account" .Values.agent.serviceAccount. */}}
{{- define "pulltrace.account" -}}
{{- $own := printf "%s-%s" (include "pulltrace.fullname" .root) .component -}}
{{- default (ternary $own "default" .account.create) .account.name -}}
{{- end -}}

{{- define "pulltrace.agent.account" -}}
{{- include "pulltrace.account" (dict "root" . "component" "agent" "account" .Values.agent.serviceAccount) -}}
{{- end -}}

{{- define "pulltrace.collector.account" -}}
{{- include "pulltrace.account" (dict "root" . "component" "collector" "account" .Values.collector.serviceAccount) -}}
{{- end -}}

{{/* The namespaces whose pods are watched, with commas between. */}}
{{- define "pulltrace.namespaces" -}}
{{- $watched := .Values.config.watchNamespaces -}}
{{- if kindIs "string" $watched }}{{ nospace $watched }}{{ else }}{{ join "," $watched }}{{ end -}}
{{- end -}}

{{/* Where agents send to. */}}
{{- define "pulltrace.endpoint" -}}
{{- $ports := .Values.collector.service.ports -}}
{{- $port := ternary $ports.otlpGrpc $ports.otlpHttp (eq .Values.agent.otlp.protocol "grpc") -}}
{{- $scheme := ternary "http" "https" (empty .Values.collector.tls.existingSecret) -}}
{{- $own := printf "%s://%s.%s.svc:%v" $scheme (include "pulltrace.collector" .) (include "pulltrace.namespace" .) $port -}}
{{- default $own .Values.agent.otlp.endpoint -}}
{{- end -}}

{{/* The Secret with the authorities that agents trust. */}}
{{- define "pulltrace.agent.authorities" -}}
{{- $own := ternary .Values.collector.tls.existingSecret "" (empty .Values.agent.otlp.endpoint) -}}
{{- default $own .Values.agent.tls.caSecret -}}
{{- end -}}

{{/* What each kind of node has where: the folders with sockets, those with data, whose changes wake the agent, and the kubelet's. */}}
{{- define "pulltrace.runtimes" -}}
auto: {folders: [/run, /var/lib]}
containerd: {folders: [/run/containerd, /var/lib/containerd]}
k3s: {folders: [/run/k3s, /var/lib/rancher/k3s/agent/containerd]}
rke2: {folders: [/run/k3s, /var/lib/rancher/rke2/agent/containerd]}
k0s: {folders: [/run/k0s, /var/lib/k0s/containerd], kubelet: /var/lib/k0s/kubelet}
microk8s: {folders: [/var/snap/microk8s/common/run, /var/snap/microk8s/common/var/lib/containerd], kubelet: /var/snap/microk8s/common/var/lib/kubelet}
docker: {folders: [/run/containerd, /run/docker, /var/lib/containerd, /var/lib/docker]}
talos: {folders: [/run/containerd, /system/run, /var/lib/containerd]}
{{- end -}}

{{- define "pulltrace.agent.kubelet" -}}
{{- $runtime := get (include "pulltrace.runtimes" . | fromYaml) .Values.agent.runtime -}}
{{- default (default "/var/lib/kubelet" $runtime.kubelet) .Values.agent.kubeletDir -}}
{{- end -}}

{{/* The folders of the host that agents see below /host, as JSON; what lies in another one of them is left out. */}}
{{- define "pulltrace.agent.folders" -}}
{{- $runtime := get (include "pulltrace.runtimes" . | fromYaml) .Values.agent.runtime -}}
{{- $wanted := $runtime.folders -}}
{{- with .Values.agent.containerd -}}
{{- if .socketPath }}{{ $wanted = compact (list (dir .socketPath) .root) }}{{ end -}}
{{- end -}}
{{- $kubelet := include "pulltrace.agent.kubelet" . -}}
{{- if ne $kubelet "off" }}{{ $wanted = append $wanted $kubelet }}{{ end -}}
{{- if .Values.agent.hostFacts }}{{ $wanted = concat $wanted (list "/proc" "/sys") }}{{ end -}}
{{- $folders := list -}}
{{- range $folder := uniq $wanted -}}
{{- $inside := false -}}
{{- range $other := $wanted }}{{ if hasPrefix (printf "%s/" $other) $folder }}{{ $inside = true }}{{ end }}{{ end -}}
{{- if not $inside }}{{ $folders = append $folders $folder }}{{ end -}}
{{- end -}}
{{- toJson $folders -}}
{{- end -}}

{{/* Whether `helm test` can ask: over plain HTTP, and with a token where one is wanted. */}}
{{- define "pulltrace.testable" -}}
{{- with .Values.collector -}}
{{- if and .enabled (not .tls.http) (or .read.existingSecret (empty .read.proxies)) }}true{{ end -}}
{{- end -}}
{{- end -}}
