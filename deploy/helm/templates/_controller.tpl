{{/* The Secret of the webhook's certificate, where the controller does not make its own. */}}
{{- define "acr.webhook.secretName" -}}
{{- if eq .Values.admission.mode "webhook" -}}
{{- if eq .Values.webhook.certificate "secret" -}}
{{- .Values.webhook.secretName -}}
{{- else if eq .Values.webhook.certificate "certManager" -}}
acr-credential-webhook-certificate
{{- end -}}
{{- end -}}
{{- end }}

{{/* The flags of the controller. */}}
{{- define "acr.args" -}}
{{- $args := list (printf "--log-format=%s" .Values.logFormat) -}}
{{- with .Values.region -}}{{- $args = append $args (printf "--region=%s" .) -}}{{- end -}}
{{- if ne .Values.tokenMode "auto" -}}{{- $args = append $args (printf "--token-mode=%s" .Values.tokenMode) -}}{{- end -}}
{{- if ne .Values.secretName "acr-credential-secret-aggregation" -}}{{- $args = append $args (printf "--secret-name=%s" .Values.secretName) -}}{{- end -}}
{{- range $key, $value := .Values.secretLabels -}}{{- $args = append $args (printf "--secret-label=%s=%s" $key $value) -}}{{- end -}}
{{- range $key, $value := .Values.secretAnnotations -}}{{- $args = append $args (printf "--secret-annotation=%s=%s" $key $value) -}}{{- end -}}
{{- if .Values.dryRun -}}{{- $args = append $args "--dry-run" -}}{{- end -}}
{{- if .Values.replaceStuckPods.enabled -}}{{- $args = append $args "--replace-stuck-pods" -}}{{- end -}}
{{- if has (toString .Values.verifyCredentials) (list "warn" "enforce") -}}{{- $args = append $args (printf "--verify-credentials=%s" .Values.verifyCredentials) -}}{{- end -}}
{{- if .Values.caBundle.configMap -}}{{- $args = append $args (printf "--ca-bundle=/etc/acr-credential-controller/ca/%s" .Values.caBundle.key) -}}{{- end -}}
{{- if include "acr.webhook.secretName" . -}}{{- $args = append $args "--webhook-cert-dir=/etc/acr-credential-controller/webhook" -}}{{- end -}}
{{- if and (eq .Values.admission.mode "webhook") .Values.webhook.onUpdate -}}{{- $args = append $args "--webhook-on-update" -}}{{- end -}}
{{- if ne .Values.leaderElection.leaseDuration "15s" -}}{{- $args = append $args (printf "--lease-duration=%s" .Values.leaderElection.leaseDuration) -}}{{- end -}}
{{- if ne .Values.logLevel "info" -}}{{- $args = append $args (printf "--log-level=%s" .Values.logLevel) -}}{{- end -}}
{{- toYaml (concat $args .Values.extraArgs) -}}
{{- end }}

{{- define "acr.volumeMounts" -}}
{{- $mounts := list -}}
{{- if .Values.caBundle.configMap -}}{{- $mounts = append $mounts (dict "name" "ca-bundle" "mountPath" "/etc/acr-credential-controller/ca" "readOnly" true) -}}{{- end -}}
{{- if include "acr.webhook.secretName" . -}}{{- $mounts = append $mounts (dict "name" "webhook-certificate" "mountPath" "/etc/acr-credential-controller/webhook" "readOnly" true) -}}{{- end -}}
{{- with concat $mounts .Values.volumeMounts -}}{{- toYaml . -}}{{- end -}}
{{- end }}

{{- define "acr.volumes" -}}
{{- $volumes := list -}}
{{- with .Values.caBundle -}}{{- if .configMap -}}{{- $volumes = append $volumes (dict "name" "ca-bundle" "configMap" (dict "name" .configMap)) -}}{{- end -}}{{- end -}}
{{- with include "acr.webhook.secretName" . -}}{{- $volumes = append $volumes (dict "name" "webhook-certificate" "secret" (dict "secretName" .)) -}}{{- end -}}
{{- with concat $volumes .Values.volumes -}}{{- toYaml . -}}{{- end -}}
{{- end }}
