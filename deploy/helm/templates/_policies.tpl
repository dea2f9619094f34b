{{- define "acr.policies" -}}
# Limits what the controller's user may write. RBAC by name is not enough: with a stolen token, an attacker could create
# a Secret of our name and the type kubernetes.io/service-account-token, which the cluster fills with a token of any
# account. Needs Kubernetes 1.30.
#
# The first five policies apply to the controller's user only. The last two protect objects that the controller trusts,
# one name each. All of them match on objects, never on request.name, which a deletecollection does not have. Each
# policy applies to its own kinds only: a policy that cannot be evaluated does not block other objects.
#
# Secrets: one name in every namespace, and the controller's own Secrets by name in its namespace.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: acr-credential-secrets
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [""]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE, DELETE]
      resources: [secrets]
  matchConditions:
  - name: controller
    expression: request.userInfo.username == '{{ include "acr.user" . }}'
  variables:
  # Exceptions: what other admission controllers add to the pull Secret, and each key of --secret-label and
  # --secret-annotation. An item is 'key=value', 'key' or 'domain/*'. `kubectl acr exceptions` fills the lists.
  - name: allowedLabels
    expression: {{ include "acr.exceptions" (dict "root" . "of" "secrets" "list" "labels") }}
  - name: allowedAnnotations
    expression: {{ include "acr.exceptions" (dict "root" . "of" "secrets" "list" "annotations") }}
  # No exception allows these, in lower case: they give a cloud role or another identity, copy or delete objects, or
  # mark what a GitOps tool owns and prunes. Domains include their subdomains.
  - name: refusedDomains
    expression: >-
      ['acrcredential.dev', 'eks.amazonaws.com', 'iam.amazonaws.com', 'iam.gke.io', 'azure.workload.identity',
      'pod-identity.alibabacloud.com', 'tke.cloud.tencent.com', 'vke.volcengine.com', 'vault.hashicorp.com',
      'spiffe.io', 'openshift.io', 'reflector.v1.k8s.emberstack.com', 'replicator.v1.mittwald.de',
      'kubernetes-replicator.olli.com', 'kubed.appscode.com', 'generate.kyverno.io', 'cleanup.kyverno.io',
      'clustersecret.io', 'carvel.dev', 'k14s.io', 'synator', 'kube-syncer', 'reflector.havulv.io',
      'secretsync.ibm.com', 'configreflector.github.io', 'vcluster.loft.sh', 'karmada.io', 'janitor', 'argoproj.io',
      'fluxcd.io', 'applyset.kubernetes.io', 'cattle.io', 'helm.sh', 'config.kubernetes.io', 'config.k8s.io',
      'cli-utils.sigs.k8s.io', 'configsync.gke.io', 'configmanagement.gke.io', 'tanka.dev', 'werf.io',
      'kops.k8s.io', 'addonmanager.kubernetes.io']
  - name: refusedKeys
    expression: >-
      ['app.kubernetes.io/instance', 'app.kubernetes.io/managed-by',
      'kubectl.kubernetes.io/last-applied-configuration', 'kubernetes.io/cluster-service',
      'kubernetes.io/service-account.name', 'kubernetes.io/service-account.uid',
      'kubernetes.io/enforce-mountable-secrets']
  - name: ownLabels
    expression: "['app.kubernetes.io/managed-by', 'images.alibabacloud.com/accelerated']"
  - name: ownAnnotations
    expression: "['acrcredential.dev/registries', 'acrcredential.dev/retained', 'acrcredential.dev/namespace']"
  - name: subject
    expression: "request.operation == 'DELETE' ? oldObject : object"
  # Secrets of this namespace take no exceptions.
  - name: home
    expression: request.namespace == '{{ .Release.Namespace }}'
  - name: cache
    expression: variables.home && variables.subject.metadata.name.matches('^acr-credential-cache(-[1-7])?$')
  - name: keys
    expression: variables.home && variables.subject.metadata.name.matches('^acr-configuration-[0-7]$')
  - name: certificates
    expression: variables.home && variables.subject.metadata.name == 'acr-credential-webhook'
  - name: own
    expression: variables.cache || variables.keys || variables.certificates
  - name: dataKeys
    expression: >-
      variables.cache ? ['tokens.json'] :
      variables.keys ? ['accessKeyId', 'accessKeySecret'] :
      variables.certificates ? ['certificates.json'] : ['.dockerconfigjson']
  - name: labels
    expression: "request.operation == 'DELETE' ? {} : object.metadata.?labels.orValue({})"
  - name: labelsBefore
    expression: "request.operation == 'CREATE' ? {} : oldObject.metadata.?labels.orValue({})"
  - name: annotations
    expression: "request.operation == 'DELETE' ? {} : object.metadata.?annotations.orValue({})"
  - name: annotationsBefore
    expression: "request.operation == 'CREATE' ? {} : oldObject.metadata.?annotations.orValue({})"
  - name: labelsSet
    expression: >-
      variables.labels.filter(key, !(key in variables.ownLabels) && !(key in variables.labelsBefore &&
      variables.labelsBefore[key] == variables.labels[key]))
  - name: labelsRefused
    expression: >-
      variables.labelsSet.filter(key, variables.home || key.lowerAscii() in variables.refusedKeys ||
      variables.refusedDomains.exists(domain, ('.' + key.lowerAscii()).contains('.' + domain + '/')))
  - name: labelsOutside
    expression: >-
      variables.labelsSet.filter(key, !(key in variables.labelsRefused) &&
      !variables.allowedLabels.exists(form, form == key ||
      form.startsWith(key + '=') && form == key + '=' + variables.labels[key] ||
      form.endsWith('/*') && key.startsWith(form.substring(0, size(form) - 1))))
  - name: labelsRemoved
    expression: >-
      request.operation == 'DELETE' ? [] : variables.labelsBefore.filter(key,
      !(key in variables.labels) && !(key in variables.ownLabels))
  - name: annotationsSet
    expression: >-
      variables.annotations.filter(key, !(key in variables.ownAnnotations) && !(key in variables.annotationsBefore &&
      variables.annotationsBefore[key] == variables.annotations[key]))
  - name: annotationsRefused
    expression: >-
      variables.annotationsSet.filter(key, variables.home || key.lowerAscii() in variables.refusedKeys ||
      variables.refusedDomains.exists(domain, ('.' + key.lowerAscii()).contains('.' + domain + '/')))
  - name: annotationsOutside
    expression: >-
      variables.annotationsSet.filter(key, !(key in variables.annotationsRefused) &&
      !variables.allowedAnnotations.exists(form, form == key ||
      form.startsWith(key + '=') && form == key + '=' + variables.annotations[key] ||
      form.endsWith('/*') && key.startsWith(form.substring(0, size(form) - 1))))
  - name: annotationsRemoved
    expression: >-
      request.operation == 'DELETE' ? [] : variables.annotationsBefore.filter(key,
      !(key in variables.annotations) && !(key in variables.ownAnnotations))
  # Each list as text: at most ten names in their order, each of at most 100 characters. The API server evaluates each
  # messageExpression at each write, so these ask for it only where something is refused.
  - name: texts
    expression: >-
      [dyn(variables.labelsRefused), dyn(variables.annotationsRefused), dyn(variables.labelsOutside),
      dyn(variables.annotationsOutside), dyn(variables.labelsRemoved), dyn(variables.annotationsRemoved)]
      .map(names, [size(names) > 100 ? names : names.filter(name, size(names.filter(other, other < name)) < 10)]
      .map(first, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter(i, i < size(first))
      .map(i, size(first) > 10 ? first[i] : first.filter(name, size(first.filter(other, other < name)) == i)[0])
      .map(name, size(name) > 100 ? name.substring(0, 100) : name).join(', '))[0] +
      (size(names) > 10 ? ' and ' + string(size(names) - 10) + ' more' : ''))
  validations:
  - expression: variables.own || variables.subject.metadata.name == '{{ .Values.secretName }}'
    message: the controller writes one Secret name only
  - expression: >-
      request.operation != 'DELETE' ||
      (variables.labelsBefore[?'app.kubernetes.io/managed-by'].orValue('') == 'acr-credential-controller' ||
      'acrcredential.dev/registries' in variables.annotationsBefore) &&
      variables.annotationsBefore[?'acrcredential.dev/namespace'].orValue(request.namespace) == request.namespace
    message: the controller deletes only the Secret that it created, in the namespace for which it created it
  - expression: >-
      request.operation == 'DELETE' ||
      object.type == (variables.own ? 'Opaque' : 'kubernetes.io/dockerconfigjson')
    message: the controller's Secrets have the type kubernetes.io/dockerconfigjson, in its own namespace Opaque
  - expression: >-
      request.operation == 'DELETE' ||
      variables.labels[?'app.kubernetes.io/managed-by'].orValue('') == 'acr-credential-controller'
    message: the controller's Secrets carry its label
  - expression: >-
      request.operation == 'DELETE' ||
      variables.annotations[?'acrcredential.dev/namespace'].orValue(request.namespace) == request.namespace ||
      variables.annotations[?'acrcredential.dev/namespace'] == variables.annotationsBefore[?'acrcredential.dev/namespace']
    message: the annotation acrcredential.dev/namespace names the Secret's own namespace
  - expression: size(variables.labelsRefused) == 0
    messageExpression: >-
      size(variables.labelsRefused) == 0 ? '' : "labels that no exception allows: " + variables.texts[0]
    message: labels that no exception allows
  - expression: size(variables.annotationsRefused) == 0
    messageExpression: >-
      size(variables.annotationsRefused) == 0 ? '' : "annotations that no exception allows: " + variables.texts[1]
    message: annotations that no exception allows
  - expression: size(variables.labelsOutside) == 0
    messageExpression: >-
      size(variables.labelsOutside) == 0 ? '' : "labels outside the policy's lists: " + variables.texts[2]
    message: labels outside the policy's lists
  - expression: size(variables.annotationsOutside) == 0
    messageExpression: >-
      size(variables.annotationsOutside) == 0 ? '' : "annotations outside the policy's lists: " + variables.texts[3]
    message: annotations outside the policy's lists
  - expression: size(variables.labelsRemoved) == 0
    messageExpression: >-
      size(variables.labelsRemoved) == 0 ? '' : "labels removed: " + variables.texts[4]
    message: labels removed
  - expression: size(variables.annotationsRemoved) == 0
    messageExpression: >-
      size(variables.annotationsRemoved) == 0 ? '' : "annotations removed: " + variables.texts[5]
    message: annotations removed
  - expression: >-
      request.operation == 'DELETE' ||
      (size(object.?data.orValue({})) > 0 && object.data.all(key, key in variables.dataKeys))
    message: the controller's Secrets hold .dockerconfigjson and nothing else
  - expression: >-
      request.operation == 'DELETE' || !object.?immutable.orValue(false) ||
      (request.operation == 'UPDATE' && oldObject.?immutable.orValue(false))
    message: the controller's Secrets are not immutable
  - expression: >-
      request.operation == 'DELETE' ||
      (size(object.metadata.?ownerReferences.orValue([])) == 0 && size(object.metadata.?finalizers.orValue([])) == 0)
    message: the controller's Secrets have no owners and no finalizers
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: acr-credential-secrets
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  policyName: acr-credential-secrets
  validationActions: [Deny]
---
# ServiceAccounts: one entry of imagePullSecrets, and tokens for the cloud of the account that RRSA trust policies name.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: acr-credential-serviceaccounts
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [""]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE, DELETE]
      resources: [serviceaccounts, serviceaccounts/token]
  matchConditions:
  - name: controller
    expression: request.userInfo.username == '{{ include "acr.user" . }}'
  variables:
  # Exceptions: what other admission controllers add to ServiceAccounts. An item of the first two lists is 'key=value',
  # 'key' or 'domain/*'. Of fields, only 'automountServiceAccountToken=false' has an effect. Pull secrets are names.
  # `kubectl acr exceptions` fills the lists.
  - name: allowedLabels
    expression: {{ include "acr.exceptions" (dict "root" . "of" "serviceAccounts" "list" "labels") }}
  - name: allowedAnnotations
    expression: {{ include "acr.exceptions" (dict "root" . "of" "serviceAccounts" "list" "annotations") }}
  - name: allowedFields
    expression: {{ include "acr.exceptions" (dict "root" . "of" "serviceAccounts" "list" "fields") }}
  - name: allowedPullSecrets
    expression: {{ include "acr.exceptions" (dict "root" . "of" "serviceAccounts" "list" "pullSecrets") }}
  # No exception allows these, in lower case: they give a cloud role or another identity, copy or delete objects, or
  # mark what a GitOps tool owns and prunes. Domains include their subdomains.
  - name: refusedDomains
    expression: >-
      ['acrcredential.dev', 'eks.amazonaws.com', 'iam.amazonaws.com', 'iam.gke.io', 'azure.workload.identity',
      'pod-identity.alibabacloud.com', 'tke.cloud.tencent.com', 'vke.volcengine.com', 'vault.hashicorp.com',
      'spiffe.io', 'openshift.io', 'reflector.v1.k8s.emberstack.com', 'replicator.v1.mittwald.de',
      'kubernetes-replicator.olli.com', 'kubed.appscode.com', 'generate.kyverno.io', 'cleanup.kyverno.io',
      'clustersecret.io', 'carvel.dev', 'k14s.io', 'synator', 'kube-syncer', 'reflector.havulv.io',
      'secretsync.ibm.com', 'configreflector.github.io', 'vcluster.loft.sh', 'karmada.io', 'janitor', 'argoproj.io',
      'fluxcd.io', 'applyset.kubernetes.io', 'cattle.io', 'helm.sh', 'config.kubernetes.io', 'config.k8s.io',
      'cli-utils.sigs.k8s.io', 'configsync.gke.io', 'configmanagement.gke.io', 'tanka.dev', 'werf.io',
      'kops.k8s.io', 'addonmanager.kubernetes.io']
  - name: refusedKeys
    expression: >-
      ['app.kubernetes.io/instance', 'app.kubernetes.io/managed-by',
      'kubectl.kubernetes.io/last-applied-configuration', 'kubernetes.io/cluster-service',
      'kubernetes.io/service-account.name', 'kubernetes.io/service-account.uid',
      'kubernetes.io/enforce-mountable-secrets']
  - name: forCloud
    expression: >-
      request.operation == 'CREATE' && request.subResource == 'token' && request.namespace == 'kube-system' &&
      request.name == 'aliyun-acr-credential-helper' && has(object.spec.audiences) &&
      object.spec.audiences == ['sts.aliyuncs.com'] &&
      (!has(object.spec.boundObjectRef) || object.spec.boundObjectRef == null) &&
      has(object.spec.expirationSeconds) && object.spec.expirationSeconds <= 3600
  - name: entries
    expression: "request.operation != 'UPDATE' ? [] : object.?imagePullSecrets.orValue([])"
  - name: entriesBefore
    expression: "request.operation != 'UPDATE' ? [] : oldObject.?imagePullSecrets.orValue([])"
  - name: others
    expression: variables.entries.filter(entry, entry.?name.orValue('') != '{{ .Values.secretName }}')
  - name: othersBefore
    expression: variables.entriesBefore.filter(entry, entry.?name.orValue('') != '{{ .Values.secretName }}')
  - name: othersAdded
    expression: >-
      variables.others == variables.othersBefore ? [] :
      variables.others.filter(entry, !(entry in variables.othersBefore))
  - name: pullSecretsOutside
    expression: >-
      variables.othersAdded.map(entry, entry.?name.orValue('')).filter(name, !(name in variables.allowedPullSecrets))
  - name: labels
    expression: "request.operation != 'UPDATE' ? {} : object.metadata.?labels.orValue({})"
  - name: labelsBefore
    expression: "request.operation != 'UPDATE' ? {} : oldObject.metadata.?labels.orValue({})"
  - name: annotations
    expression: "request.operation != 'UPDATE' ? {} : object.metadata.?annotations.orValue({})"
  - name: annotationsBefore
    expression: "request.operation != 'UPDATE' ? {} : oldObject.metadata.?annotations.orValue({})"
  - name: labelsSet
    expression: >-
      variables.labels.filter(key, !(key in variables.labelsBefore &&
      variables.labelsBefore[key] == variables.labels[key]))
  - name: labelsRefused
    expression: >-
      variables.labelsSet.filter(key, key.lowerAscii() in variables.refusedKeys ||
      variables.refusedDomains.exists(domain, ('.' + key.lowerAscii()).contains('.' + domain + '/')))
  - name: labelsOutside
    expression: >-
      variables.labelsSet.filter(key, !(key in variables.labelsRefused) &&
      !variables.allowedLabels.exists(form, form == key ||
      form.startsWith(key + '=') && form == key + '=' + variables.labels[key] ||
      form.endsWith('/*') && key.startsWith(form.substring(0, size(form) - 1))))
  - name: labelsRemoved
    expression: variables.labelsBefore.filter(key, !(key in variables.labels))
  - name: annotationsSet
    expression: >-
      variables.annotations.filter(key, !(key in variables.annotationsBefore &&
      variables.annotationsBefore[key] == variables.annotations[key]))
  - name: annotationsRefused
    expression: >-
      variables.annotationsSet.filter(key, key.lowerAscii() in variables.refusedKeys ||
      variables.refusedDomains.exists(domain, ('.' + key.lowerAscii()).contains('.' + domain + '/')))
  - name: annotationsOutside
    expression: >-
      variables.annotationsSet.filter(key, !(key in variables.annotationsRefused) &&
      !variables.allowedAnnotations.exists(form, form == key ||
      form.startsWith(key + '=') && form == key + '=' + variables.annotations[key] ||
      form.endsWith('/*') && key.startsWith(form.substring(0, size(form) - 1))))
  - name: annotationsRemoved
    expression: variables.annotationsBefore.filter(key, !(key in variables.annotations))
  - name: automountChanged
    expression: >-
      request.operation == 'UPDATE' &&
      object.?automountServiceAccountToken.orValue(true) != oldObject.?automountServiceAccountToken.orValue(true)
  - name: fieldsOutside
    expression: >-
      variables.automountChanged && !object.?automountServiceAccountToken.orValue(true) &&
      !('automountServiceAccountToken=false' in variables.allowedFields) ? ['automountServiceAccountToken'] : []
  - name: fieldsRefused
    expression: >-
      request.operation != 'UPDATE' ? [] :
      (variables.automountChanged && object.?automountServiceAccountToken.orValue(true) ?
      ['automountServiceAccountToken'] : []) +
      (object.metadata.?finalizers.orValue([]) == oldObject.metadata.?finalizers.orValue([]) ? [] : ['finalizers']) +
      (object.metadata.?ownerReferences.orValue([]) == oldObject.metadata.?ownerReferences.orValue([]) ? [] :
      ['ownerReferences']) +
      (object.?secrets.orValue([]) == oldObject.?secrets.orValue([]) ? [] : ['secrets'])
  # Each list as text: at most ten names in their order, each of at most 100 characters. The API server evaluates each
  # messageExpression at each write, so these ask for it only where something is refused.
  - name: texts
    expression: >-
      [dyn(variables.labelsRefused), dyn(variables.annotationsRefused), dyn(variables.fieldsRefused),
      dyn(variables.labelsOutside), dyn(variables.annotationsOutside), dyn(variables.fieldsOutside),
      dyn(variables.pullSecretsOutside), dyn(variables.labelsRemoved), dyn(variables.annotationsRemoved)]
      .map(names, [size(names) > 100 ? names : names.filter(name, size(names.filter(other, other < name)) < 10)]
      .map(first, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter(i, i < size(first))
      .map(i, size(first) > 10 ? first[i] : first.filter(name, size(first.filter(other, other < name)) == i)[0])
      .map(name, size(name) > 100 ? name.substring(0, 100) : name).join(', '))[0] +
      (size(names) > 10 ? ' and ' + string(size(names) - 10) + ' more' : ''))
  validations:
  - expression: request.operation == 'UPDATE' || variables.forCloud
    message: >-
      the controller does not create or delete ServiceAccounts, and requests tokens of
      kube-system/aliyun-acr-credential-helper for the audience sts.aliyuncs.com only, for one hour at most
  - expression: size(variables.pullSecretsOutside) == 0
    messageExpression: >-
      size(variables.pullSecretsOutside) == 0 ? '' : "pull secrets outside the policy's lists: " + variables.texts[6]
    message: pull secrets outside the policy's lists
  - expression: >-
      variables.others.filter(entry, !(entry in variables.othersAdded)) == variables.othersBefore &&
      variables.othersAdded.all(entry, size(variables.othersAdded.filter(other, other == entry)) == 1)
    message: the controller adds and removes its own entry of imagePullSecrets only
  - expression: >-
      size(variables.entries) - size(variables.others) <= 1 ||
      size(variables.entries) - size(variables.others) <= size(variables.entriesBefore) - size(variables.othersBefore)
    message: the controller adds its entry of imagePullSecrets once
  - expression: size(variables.labelsRefused) == 0
    messageExpression: >-
      size(variables.labelsRefused) == 0 ? '' : "labels that no exception allows: " + variables.texts[0]
    message: labels that no exception allows
  - expression: size(variables.annotationsRefused) == 0
    messageExpression: >-
      size(variables.annotationsRefused) == 0 ? '' : "annotations that no exception allows: " + variables.texts[1]
    message: annotations that no exception allows
  - expression: size(variables.fieldsRefused) == 0
    messageExpression: >-
      size(variables.fieldsRefused) == 0 ? '' : "fields that no exception allows: " + variables.texts[2]
    message: fields that no exception allows
  - expression: size(variables.labelsOutside) == 0
    messageExpression: >-
      size(variables.labelsOutside) == 0 ? '' : "labels outside the policy's lists: " + variables.texts[3]
    message: labels outside the policy's lists
  - expression: size(variables.annotationsOutside) == 0
    messageExpression: >-
      size(variables.annotationsOutside) == 0 ? '' : "annotations outside the policy's lists: " + variables.texts[4]
    message: annotations outside the policy's lists
  - expression: size(variables.fieldsOutside) == 0
    messageExpression: >-
      size(variables.fieldsOutside) == 0 ? '' : "fields outside the policy's lists: " + variables.texts[5]
    message: fields outside the policy's lists
  - expression: size(variables.labelsRemoved) == 0
    messageExpression: >-
      size(variables.labelsRemoved) == 0 ? '' : "labels removed: " + variables.texts[7]
    message: labels removed
  - expression: size(variables.annotationsRemoved) == 0
    messageExpression: >-
      size(variables.annotationsRemoved) == 0 ? '' : "annotations removed: " + variables.texts[8]
    message: annotations removed
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: acr-credential-serviceaccounts
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  policyName: acr-credential-serviceaccounts
  validationActions: [Deny]
---
# Bindings decide what the controller's cloud identity is used for. The controller writes the spec of the binding that is
# converted from the ConfigMap; on other bindings, only its finalizer and the status.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: acr-credential-bindings
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [acrcredential.dev]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE, DELETE]
      resources: [acrcredentialbindings]
  matchConditions:
  - name: controller
    expression: request.userInfo.username == '{{ include "acr.user" . }}'
  variables:
  - name: after
    expression: "request.operation == 'DELETE' ? oldObject : object"
  - name: before
    expression: "request.operation == 'CREATE' ? object : oldObject"
  - name: converted
    expression: >-
      variables.before.metadata.name == 'acr-configuration' &&
      variables.before.metadata.?labels[?'acrcredential.dev/converted'].orValue('') == 'true'
  - name: labels
    expression: variables.after.metadata.?labels.orValue({})
  - name: labelsBefore
    expression: variables.before.metadata.?labels.orValue({})
  - name: annotations
    expression: variables.after.metadata.?annotations.orValue({})
  - name: annotationsBefore
    expression: variables.before.metadata.?annotations.orValue({})
  validations:
  - expression: request.operation == 'UPDATE' || variables.converted
    message: the controller creates and deletes only the binding acr-configuration with the label acrcredential.dev/converted
  - expression: variables.converted || variables.after.spec == variables.before.spec
    message: the controller changes only the spec of the binding that is converted from the ConfigMap
  - expression: >-
      request.operation != 'CREATE' ||
      (variables.labels.all(key, key in ['acrcredential.dev/converted', 'app.kubernetes.io/managed-by']) &&
      variables.annotations.all(key, key == 'acrcredential.dev/converted-from'))
    message: the controller creates its binding with its own labels and annotations only
  # The marks of conversion are removed when the ConfigMap is no longer authoritative.
  - expression: >-
      variables.labels.all(key, key in variables.labelsBefore && variables.labelsBefore[key] == variables.labels[key]) &&
      variables.labelsBefore.all(key, key in variables.labels ||
      variables.converted && key in ['acrcredential.dev/converted', 'app.kubernetes.io/managed-by']) &&
      variables.annotations.all(key,
      key in variables.annotationsBefore && variables.annotationsBefore[key] == variables.annotations[key] ||
      variables.converted && key == 'acrcredential.dev/adopt' && variables.annotations[key] == 'true') &&
      variables.annotationsBefore.all(key, key in variables.annotations ||
      variables.converted && key == 'acrcredential.dev/converted-from')
    message: the controller does not change the labels and annotations of bindings
  - expression: >-
      variables.after.metadata.?finalizers.orValue([]).filter(name, name != 'acrcredential.dev/withdraw') ==
      (request.operation == 'CREATE' ? [] :
      oldObject.metadata.?finalizers.orValue([]).filter(name, name != 'acrcredential.dev/withdraw')) &&
      variables.after.metadata.?ownerReferences.orValue([]) ==
      (request.operation == 'CREATE' ? [] : oldObject.metadata.?ownerReferences.orValue([]))
    message: the controller adds and removes only its own finalizer of bindings, and no owner
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: acr-credential-bindings
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  policyName: acr-credential-bindings
  validationActions: [Deny]
---
# Events: the controller's own. A finalizer on an Event would block the deletion of a tenant's namespace.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: acr-credential-events
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [events.k8s.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE, DELETE]
      resources: [events]
  matchConditions:
  - name: controller
    expression: request.userInfo.username == '{{ include "acr.user" . }}'
  validations:
  - expression: >-
      (request.operation == 'DELETE' ? oldObject : object).?reportingController.orValue('') == 'acr-credential-controller' &&
      (request.operation != 'UPDATE' || oldObject.?reportingController.orValue('') == 'acr-credential-controller')
    message: the controller publishes Events in its own name only
  - expression: >-
      request.operation == 'DELETE' ||
      (size(object.metadata.?ownerReferences.orValue([])) == 0 && size(object.metadata.?finalizers.orValue([])) == 0)
    message: the controller's Events have no owners and no finalizers
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: acr-credential-events
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  policyName: acr-credential-events
  validationActions: [Deny]
---
# Other objects by name: the Lease of the replicas and the ConfigMap of the admission policy, in the own namespace.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: acr-credential-objects
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [""]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE, DELETE]
      resources: [configmaps]
    - apiGroups: [coordination.k8s.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE, DELETE]
      resources: [leases]
  matchConditions:
  - name: controller
    expression: request.userInfo.username == '{{ include "acr.user" . }}'
  variables:
  - name: name
    expression: "(request.operation == 'DELETE' ? oldObject : object).metadata.name"
  validations:
  - expression: >-
      request.namespace == '{{ .Release.Namespace }}' &&
      variables.name == (request.resource.resource == 'leases' ? 'acr-credential-controller' : 'acr-credential-admission')
    message: >-
      the controller writes the Lease acr-credential-controller and the ConfigMap acr-credential-admission of its own
      namespace only
  - expression: >-
      request.operation == 'DELETE' ||
      (size(object.metadata.?ownerReferences.orValue([])) == 0 && size(object.metadata.?finalizers.orValue([])) == 0)
    message: objects of the controller have no owners and no finalizers
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: acr-credential-objects
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  policyName: acr-credential-objects
  validationActions: [Deny]
---
# The following policies apply to other users. The spec of the binding acr-configuration is edited by its ConfigMap only.
# RBAC alone decides about its deletion and its metadata, such as acrcredential.dev/refresh-at or a left-over finalizer.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: acr-credential-converted
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [acrcredential.dev]
      apiVersions: ["*"]
      operations: [UPDATE]
      resources: [acrcredentialbindings]
      resourceNames: [acr-configuration]
  matchConditions:
  - name: converted
    expression: >-
      oldObject != null && !has(oldObject.metadata.deletionTimestamp) &&
      oldObject.metadata.?labels[?'acrcredential.dev/converted'].orValue('') == 'true'
  - name: others
    expression: >-
      !(request.userInfo.username in ['system:kube-controller-manager',
      '{{ include "acr.user" . }}']) &&
      !request.userInfo.?groups.orValue([]).exists(group, group in ['system:masters', 'system:serviceaccounts:kube-system'])
  variables:
  - name: source
    expression: >-
      oldObject.metadata.?annotations[?'acrcredential.dev/converted-from'].orValue('kube-system/acr-configuration')
  validations:
  - expression: object.spec == oldObject.spec
    reason: Forbidden
    messageExpression: >-
      'this binding is converted from the ConfigMap ' + variables.source + ': edit the ConfigMap, or annotate the ConfigMap
      with acrcredential.dev/authoritative: "false" to make the binding your own'
  - expression: object.metadata.?labels[?'acrcredential.dev/converted'].orValue('') == 'true'
    reason: Forbidden
    messageExpression: >-
      'this label marks a binding that is converted from the ConfigMap ' + variables.source + ': annotate the ConfigMap with
      acrcredential.dev/authoritative: "false", and the controller removes the label'
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: acr-credential-converted
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  policyName: acr-credential-converted
  validationActions: [Deny]
---
# The cached tokens, which become every tenant's pull credentials. Users who may delete the namespace may delete them.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: acr-credential-cache
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector:
      matchLabels:
        kubernetes.io/metadata.name: {{ .Release.Namespace }}
    resourceRules:
    - apiGroups: [""]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE, DELETE]
      resources: [secrets]
  matchConditions:
  - name: cache
    expression: >-
      (request.operation == 'DELETE' ? oldObject : object) != null &&
      (request.operation == 'DELETE' ? oldObject : object).metadata.?name.orValue('')
      .matches('^acr-credential-cache(-[1-7])?$')
  - name: others
    expression: >-
      !(request.userInfo.username in ['system:kube-controller-manager',
      '{{ include "acr.user" . }}']) &&
      !request.userInfo.?groups.orValue([]).exists(group, group in ['system:masters', 'system:serviceaccounts:kube-system'])
  validations:
  - expression: >-
      request.operation == 'DELETE' &&
      (namespaceObject == null || has(namespaceObject.metadata.deletionTimestamp) ||
      authorizer.group('').resource('namespaces').name('{{ .Release.Namespace }}').check('delete').allowed())
    reason: Forbidden
    message: >-
      the tokens in this Secret become every tenant's pull credentials: only the controller writes it. Users who may
      delete the namespace may delete it; the controller then mints new tokens
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: acr-credential-cache
  {{- include "acr.labels" . }}
  {{- include "acr.policies.annotations" . }}
spec:
  policyName: acr-credential-cache
  validationActions: [Deny]
{{- end }}
