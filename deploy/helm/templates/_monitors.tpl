{{/* Not empty where a monitor is rendered: its CRD is there, or renderMode does not care. */}}
{{- define "acr.monitor" -}}
{{- $monitor := get .root.Values.prometheus .value -}}
{{- if $monitor.enabled -}}
{{- $served := .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) -}}
{{- if or $served (eq $monitor.renderMode "alwaysRender") -}}
true
{{- else if eq $monitor.renderMode "failIfMissing" -}}
{{- fail (printf "prometheus.%s.enabled needs the CRD of %s, which this cluster does not have: install the Prometheus operator, or set prometheus.%s.renderMode to skipIfMissing" .value .kind .value) -}}
{{- end -}}
{{- end -}}
{{- end }}
