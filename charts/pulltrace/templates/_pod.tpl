{{/* What the pods of agents and collector share. Their values have the same names. */}}

{{/* Everything of a pod but its containers and volumes: dict "root" $ "values" .Values.agent "account" "..." "dns" "ClusterFirst". */}}
{{- define "pulltrace.pod" -}}
serviceAccountName: {{ .account }}
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
dnsPolicy: {{ default .dns .values.dnsPolicy }}
terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
{{- $given := dict
  "priorityClassName" .values.priorityClassName
  "securityContext" .values.podSecurityContext
  "dnsConfig" .values.dnsConfig
  "hostAliases" .values.hostAliases
  "nodeSelector" .values.nodeSelector
  "affinity" .values.affinity
  "tolerations" .values.tolerations
  "topologySpreadConstraints" .values.topologySpreadConstraints
  "initContainers" .values.initContainers
}}
{{- range $key, $value := $given }}
{{- if $value }}
{{ dict $key $value | toYaml }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Everything of its own container but ports, probes and mounts: dict "root" $ "name" "agent" "values" .Values.agent "env" (dict NAME VALUE...) and,
     if there are any, "fields" (dict NAME FIELD-PATH...). What is empty is left out; extraEnv wins, because a name may be there only once. */}}
{{- define "pulltrace.container" -}}
{{- $values := .values -}}
{{- $variables := list -}}
{{- $taken := list -}}
{{- range $values.extraEnv }}{{ $taken = append $taken .name }}{{ end -}}
{{- range $name, $path := .fields }}
{{- if not (has $name $taken) }}{{ $variables = append $variables (dict "name" $name "valueFrom" (dict "fieldRef" (dict "fieldPath" $path))) }}{{ end -}}
{{- end -}}
{{- range $name, $value := .env }}
{{- if not (or (has $name $taken) (eq (toString $value) "")) }}{{ $variables = append $variables (dict "name" $name "value" (toString $value)) }}{{ end -}}
{{- end -}}
name: {{ .name }}
image: {{ include "pulltrace.image" (dict "root" .root "image" $values.image) | quote }}
imagePullPolicy: {{ $values.image.pullPolicy }}
{{- with $values.extraArgs }}
args:
  {{- toYaml . | nindent 2 }}
{{- end }}
env:
  {{- toYaml (concat $variables $values.extraEnv) | nindent 2 }}
{{- with $values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image: dict "root" $ "image" .Values.agent.image. */}}
{{- define "pulltrace.image" -}}
{{- $registry := default .image.registry .root.Values.global.imageRegistry -}}
{{- $name := compact (list $registry .image.repository) | join "/" -}}
{{- $tag := printf ":%s" (default .root.Chart.AppVersion .image.tag) -}}
{{- printf "%s%s" $name (ternary $tag (printf "@%s" .image.digest) (empty .image.digest)) -}}
{{- end -}}
