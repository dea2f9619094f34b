{{- define "acr.policies.stuckPods" -}}
# A stolen token of the controller can then also read every Pod, with the values in `env`. It can delete Pods that wait
# for an image, have no entry of ours and belong to a controller, which recreates them. It cannot delete running Pods,
# bare Pods, static Pods and Pods of a Job.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: acr-credential-pods
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [""]
      apiVersions: ["*"]
      operations: ["*"]
      resources: [pods, "pods/*"]
  matchConditions:
  - name: controller
    expression: request.userInfo.username == '{{ include "acr.user" . }}'
  variables:
  - name: waiting
    expression: >-
      ((has(oldObject.status.initContainerStatuses) ? oldObject.status.initContainerStatuses : []) +
      (has(oldObject.status.containerStatuses) ? oldObject.status.containerStatuses : []))
      .exists(container, has(container.state) && has(container.state.waiting) && has(container.state.waiting.reason) &&
      container.state.waiting.reason in ['ErrImagePull', 'ImagePullBackOff'])
  validations:
  - expression: request.operation == 'DELETE' && (!has(request.subResource) || request.subResource == '')
    message: the controller does not create or change Pods
  - expression: >-
      has(request.options.preconditions) && has(request.options.preconditions.uid) &&
      has(request.options.preconditions.resourceVersion)
    message: the controller deletes a Pod by its UID and resourceVersion only
  - expression: oldObject.status.phase == 'Pending' && variables.waiting
    message: the controller deletes only Pods that wait for an image
  - expression: >-
      !has(oldObject.spec.imagePullSecrets) ||
      !oldObject.spec.imagePullSecrets.exists(entry, has(entry.name) && entry.name == '{{ .Values.secretName }}')
    message: the controller does not delete Pods that have its entry
  - expression: >-
      has(oldObject.metadata.ownerReferences) &&
      oldObject.metadata.ownerReferences.exists(owner, has(owner.controller) && owner.controller &&
      !(owner.kind in ['Node', 'Job']))
    message: the controller deletes only Pods that their owner recreates
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: acr-credential-pods
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  policyName: acr-credential-pods
  validationActions: [Deny]
{{- end }}
