{{/* What the operator does, and no more. It has no verb on Secrets: the kubelet resolves what a pod names. */}}
{{- define "kubetune.rules" -}}
- apiGroups: [kubetune.io]
  resources: [finetunejobs]
  verbs: [get, list, watch, delete] # delete: ttlSecondsAfterFinished
- apiGroups: [kubetune.io]
  resources: [evalruns]
  verbs: [get, list, watch, create, patch, delete] # patch: suspend of the evaluation that belongs to a job
- apiGroups: [kubetune.io]
  resources: [finetunejobs/status, evalruns/status]
  verbs: [patch]
# Where the cluster enforces permissions on owner references, naming an object as owner takes this.
- apiGroups: [kubetune.io]
  resources: [finetunejobs/finalizers, evalruns/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [configmaps, persistentvolumeclaims, services] # services: pods of several nodes find each other
  verbs: [get, create]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
{{- end -}}

{{/* Replicas agree by one Lease which of them writes. A name cannot be asked for where it is still to be made. */}}
{{- define "kubetune.leaderRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "kubetune.fullname" . }}]
  verbs: [get, patch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
{{- end -}}
