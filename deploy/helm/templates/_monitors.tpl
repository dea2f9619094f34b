{{/* Not empty where an object of the Prometheus operator is rendered: its CRD is there, or renderMode does not care. */}}
{{- define "acr.operated" -}}
{{- if .settings.enabled -}}
{{- $served := .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) -}}
{{- if or $served (eq .settings.renderMode "alwaysRender") -}}
true
{{- else if eq .settings.renderMode "failIfMissing" -}}
{{- fail (printf "%s.enabled needs the CRD of %s, which this cluster does not have: install the Prometheus operator, or set %s.renderMode to skipIfMissing" .path .kind .path) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "acr.monitor" -}}
{{- include "acr.operated" (dict "root" .root "kind" .kind "path" (printf "prometheus.%s" .value) "settings" (get .root.Values.prometheus .value)) -}}
{{- end }}

{{- define "acr.prometheusRule" -}}
{{- include "acr.operated" (dict "root" . "kind" "PrometheusRule" "path" "prometheusRule" "settings" .Values.prometheusRule) -}}
{{- end }}
