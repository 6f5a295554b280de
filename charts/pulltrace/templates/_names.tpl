{{/* How objects are called and labelled. What follows from values is in _decisions.tpl, what pods share in _pod.tpl. */}}

{{- define "pulltrace.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "pulltrace.fullname" -}}
{{- $name := include "pulltrace.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "pulltrace.agent" -}}{{ include "pulltrace.fullname" . }}-agent{{- end -}}
{{- define "pulltrace.collector" -}}{{ include "pulltrace.fullname" . }}-collector{{- end -}}

{{- define "pulltrace.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* The labels by which Services and others find pods, which never change: dict "root" $ "component" "agent". */}}
{{- define "pulltrace.selector" -}}
app.kubernetes.io/name: {{ include "pulltrace.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of a pod: those, and "labels" of the dict. */}}
{{- define "pulltrace.labels.pod" -}}
{{- $own := dict "app.kubernetes.io/part-of" "pulltrace" "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- toYaml (mergeOverwrite $own .root.Values.commonLabels (default dict .labels) (include "pulltrace.selector" . | fromYaml)) -}}
{{- end -}}

{{/* Labels of an object. */}}
{{- define "pulltrace.labels" -}}
{{ include "pulltrace.labels.pod" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Metadata of an object: dict "root" $ "component" "agent" "name" "..." and, if there are any, "labels" and "annotations"; "namespace" for another
     than that of the release, "" for objects of the whole cluster. */}}
{{- define "pulltrace.metadata" -}}
name: {{ .name }}
{{- with ternary .namespace (include "pulltrace.namespace" .root) (hasKey . "namespace") }}
namespace: {{ . }}
{{- end }}
labels:
  {{- include "pulltrace.labels" . | nindent 2 }}
{{- with merge (dict) (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
