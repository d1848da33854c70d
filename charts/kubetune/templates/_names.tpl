{{- define "kubetune.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "kubetune.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The label managed-by is Helm's here; the operator tells its own Jobs and pods by managed-by=kubetune. */}}
{{- define "kubetune.labels" -}}
{{ include "kubetune.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "kubetune.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "kubetune.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "kubetune.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the operator is told: the given settings, and those that must match the other objects of the chart. */}}
{{- define "kubetune.settings" -}}
{{- $own := dict "policy" "/etc/kubetune/policy.yaml" "http_bind" (printf "0.0.0.0:%d" (int .Values.metrics.port)) "namespaces" .Values.namespaces "lease_name" (include "kubetune.fullname" .) "lease_namespace" .Release.Namespace -}}
{{- toYaml (merge $own .Values.settings) -}}
{{- end -}}
