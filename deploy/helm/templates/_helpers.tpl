{{/* The name of the objects whose name may vary. */}}
{{- define "acr.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* The name of an object of a hook, shortened before its suffix. */}}
{{- define "acr.hookName" -}}
{{- printf "%s-%s" (include "acr.fullname" .root | trunc 53 | trimSuffix "-") .suffix -}}
{{- end }}

{{- define "acr.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "acr.fullname" .) -}}
{{- end }}

{{/* The controller's user, as requests name it. */}}
{{- define "acr.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "acr.serviceAccountName" . }}
{{- end }}

{{/* One controller runs in a cluster, so its name alone selects its Pods, also those of a Deployment that was applied
without Helm. */}}
{{- define "acr.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
{{- end }}

{{/* The labels of an object, as a block of its metadata. `selected` is for objects that are found by the name. */}}
{{- define "acr.labelsWith" -}}
{{- $labels := dict -}}
{{- if .root.Values.standardLabels -}}
{{- $labels = dict "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63)
  "app.kubernetes.io/instance" .root.Release.Name "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- end -}}
{{- if or .selected .root.Values.standardLabels -}}
{{- $labels = merge $labels (fromYaml (include "acr.selector" .root)) -}}
{{- end -}}
{{- $labels = merge $labels (.extra | default dict) .root.Values.commonLabels -}}
{{- if $labels }}
  labels:
    {{- toYaml $labels | nindent 4 }}
{{- end -}}
{{- end }}

{{- define "acr.labels" -}}
{{- include "acr.labelsWith" (dict "root" . "selected" false) -}}
{{- end }}

{{- define "acr.labels.selected" -}}
{{- include "acr.labelsWith" (dict "root" . "selected" true) -}}
{{- end }}

{{- define "acr.policies.annotations" -}}
{{- with .Values.policies.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
{{- end -}}
{{- end }}

{{/* Not empty where the policies are rendered. */}}
{{- define "acr.policies.enabled" -}}
{{- $enabled := toString .Values.policies.enabled -}}
{{- if or (eq $enabled "true") (and (eq $enabled "auto") (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version)) -}}
true
{{- end -}}
{{- end }}

{{/* A list of exceptions as CEL, in a YAML text. No item can end its own quotation. */}}
{{- define "acr.exceptions" -}}
{{- $items := get (get .root.Values.policies.exceptions .of) .list -}}
{{- if eq .of "secrets" -}}
{{- $own := dict "labels" .root.Values.secretLabels "annotations" .root.Values.secretAnnotations -}}
{{- range $key, $value := get $own .list -}}
{{- $items = append $items (printf "%s=%s" $key $value) -}}
{{- end -}}
{{- end -}}
{{- $quoted := list -}}
{{- range $items | uniq -}}
{{- $quoted = append $quoted (printf "'%s'" (. | replace "\\" "\\\\" | replace "'" "\\u0027" | replace "\"" "\\u0022" | replace "\n" "\\u000a")) -}}
{{- end -}}
{{- printf "[%s]" (join ", " $quoted) | toJson -}}
{{- end }}

{{- define "acr.image" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end }}

{{/* A Pod of a hook: one run of kubectl-acr. */}}
{{- define "acr.hookPod" -}}
restartPolicy: Never
serviceAccountName: {{ .name }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with .root.Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
- name: kubectl-acr
  image: {{ include "acr.image" .root }}
  {{- with .root.Values.image.pullPolicy }}
  imagePullPolicy: {{ . }}
  {{- end }}
  command: [/usr/local/bin/kubectl-acr]
  args:
  {{- toYaml .args | nindent 2 }}
  {{- with .root.Values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.containerSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* The annotations of a hook's object: its event and its weight. What it needs goes when it has succeeded. */}}
{{- define "acr.hook" -}}
helm.sh/hook: {{ index . 0 }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
