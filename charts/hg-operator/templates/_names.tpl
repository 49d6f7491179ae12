{{/* The name of everything: the release's, with the chart's in it. */}}
{{- define "hg-operator.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the operator's own pods. It never changes, so it has no version in it. */}}
{{- define "hg-operator.selector" -}}
app.kubernetes.io/name: hg-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "hg-operator.labels" -}}
{{ include "hg-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: hg-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "hg-operator.image" -}}
{{- .Values.image.repository -}}
{{- if .Values.image.digest -}}
@{{ .Values.image.digest }}
{{- else -}}
:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The restricted profile of the Pod Security Standards. */}}
{{- define "hg-operator.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "hg-operator.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Rules of files/permissions.yaml (a list of {why, apiGroups, resources, resourceNames, verbs}), each below its reason. */}}
{{- define "hg-operator.rules" -}}
{{- range $index, $rule := . }}
{{- if $index }}{{ "\n" }}{{ end }}
{{- range (splitList "\n" (wrap 110 (trim $rule.why))) -}}
# {{ . }}
{{ end -}}
- apiGroups: {{ toJson $rule.apiGroups }}
  resources: {{ toJson $rule.resources }}
  {{- with $rule.resourceNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: {{ toJson $rule.verbs }}
{{- end }}
{{- end -}}
