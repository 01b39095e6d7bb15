{{/*
What each process may do with the loops of a namespace: the rules of a Role, or of a ClusterRole where all namespaces
are served. The specs of loops are the users', so nobody here may write one; the subresource finalizers is what an
owner reference that blocks deletion needs on some clusters.
*/}}
{{- define "rloop.rules.operator" -}}
- apiGroups: [rloop.dev]
  resources: [researchloops]
  verbs: [get, list, watch]
- apiGroups: [rloop.dev]
  resources: [researchiterations, researchexperiments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [rloop.dev]
  resources: [researchloops/status, researchiterations/status, researchexperiments/status]
  verbs: [get, patch]
- apiGroups: [rloop.dev]
  resources: [researchloops/finalizers, researchiterations/finalizers, researchexperiments/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [kubeflow.org]
  resources: [pytorchjobs]
  verbs: [get, list, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, create]
{{- if .Values.networkPolicy.enabled }}
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, patch] # for the workers of one training
{{- end }}
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [get, list, create, patch] # listed to tell why a pod does not start
{{- end }}

{{/* It compares what is wanted with what was looked at. */}}
{{- define "rloop.rules.guard" -}}
- apiGroups: [rloop.dev]
  resources: [researchloops]
  verbs: [get, list]
{{- end }}

{{/* It reads what a session may spend, and writes what it has spent. */}}
{{- define "rloop.rules.proxy" -}}
- apiGroups: [rloop.dev]
  resources: [researchloops]
  verbs: [get]
- apiGroups: [rloop.dev]
  resources: [researchiterations]
  verbs: [get, list]
- apiGroups: [rloop.dev]
  resources: [researchiterations/status]
  verbs: [get, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get] # whose token it was shown
{{- end }}

{{- define "rloop.rules.gateway" -}}
- apiGroups: [rloop.dev]
  resources: [researchloops, researchiterations]
  verbs: [get, list]
- apiGroups: [rloop.dev]
  resources: [researchexperiments]
  verbs: [get, list, create]
- apiGroups: [rloop.dev]
  resources: [researchiterations/status, researchexperiments/status]
  verbs: [get, patch]
- apiGroups: [rloop.dev]
  resources: [researchloops/finalizers, researchiterations/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, patch] # signs of life, as annotations of the caller's own pod
{{- end }}
