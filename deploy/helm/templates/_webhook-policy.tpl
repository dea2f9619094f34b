{{- define "acr.policies.webhook" -}}
# A user who may write webhook configurations can have every object of the cluster sent to him, and change it. The
# controller's user may write one configuration by name, for ServiceAccounts only, and to its own Service.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: acr-credential-webhook
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [admissionregistration.k8s.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE, DELETE]
      resources: [mutatingwebhookconfigurations, validatingwebhookconfigurations]
  matchConditions:
  - name: controller
    expression: request.userInfo.username == '{{ include "acr.user" . }}'
  variables:
  - name: subject
    expression: "request.operation == 'DELETE' ? oldObject : object"
  - name: webhooks
    expression: "request.operation == 'DELETE' ? [] : object.?webhooks.orValue([])"
  validations:
  - expression: >-
      request.resource.resource == 'mutatingwebhookconfigurations' &&
      variables.subject.metadata.name == 'acr-credential-webhook'
    message: the controller writes the MutatingWebhookConfiguration acr-credential-webhook only
  - expression: >-
      variables.webhooks.all(webhook, webhook.?rules.orValue([]).all(rule,
      rule.?apiGroups.orValue([]) == [''] && rule.?apiVersions.orValue([]) == ['v1'] &&
      rule.?resources.orValue([]) == ['serviceaccounts'] &&
      rule.?operations.orValue([]).all(operation, operation in ['CREATE', 'UPDATE'])))
    message: the controller's webhooks are called for the creation and update of ServiceAccounts only
  - expression: >-
      variables.webhooks.all(webhook,
      !has(webhook.clientConfig.url) && has(webhook.clientConfig.service) &&
      webhook.clientConfig.service.namespace == '{{ .Release.Namespace }}' &&
      webhook.clientConfig.service.name == 'acr-credential-webhook')
    message: the controller's webhooks are served by its Service {{ .Release.Namespace }}/acr-credential-webhook only
  - expression: >-
      variables.webhooks.all(webhook,
      webhook.?namespaceSelector.matchExpressions.orValue([]).exists(term, term.key == 'kubernetes.io/metadata.name' &&
      term.operator == 'NotIn' && 'kube-system' in term.?values.orValue([]) &&
      '{{ .Release.Namespace }}' in term.?values.orValue([])))
    message: the controller's webhooks are never called for kube-system and the controller's own namespace
  - expression: >-
      request.operation == 'DELETE' ||
      (size(object.metadata.?ownerReferences.orValue([])) == 0 && size(object.metadata.?finalizers.orValue([])) == 0)
    message: objects of the controller have no owners and no finalizers
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: acr-credential-webhook
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  policyName: acr-credential-webhook
  validationActions: [Deny]
{{- end }}
