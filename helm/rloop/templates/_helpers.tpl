{{/* Labels of everything that the chart makes. Argument: the root. */}}
{{- define "rloop.labels" -}}
app.kubernetes.io/name: rloop
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Labels by which the pods of one of our processes are found; they never change. Arguments: root, component. */}}
{{- define "rloop.selector" -}}
app.kubernetes.io/name: rloop
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The reference of an image. Arguments: root, image. */}}
{{- define "rloop.image" -}}
{{- $images := .root.Values.images -}}
{{- index $images .image | default (printf "%srloop-%s:%s" $images.prefix .image $images.tag) -}}
{{- end }}

{{/* Namespaces as the processes are told: comma list, empty for all. */}}
{{- define "rloop.watched" -}}
{{- if not .Values.rbac.clusterWide }}{{ join "," .Values.watchNamespaces }}{{ end -}}
{{- end }}

{{/*
The watched namespaces that exist, as a JSON array: a namespace that was deleted must not make an upgrade fail halfway
for all the others. Every namespace has a ServiceAccount "default", and whoever installs the chart may read it. Where
nothing can be looked up (helm template, Argo CD, the first install with --create-namespace): all of them.
*/}}
{{- define "rloop.existing" -}}
{{- $found := list -}}
{{- range .Values.watchNamespaces -}}
{{- if lookup "v1" "ServiceAccount" . "default" }}{{ $found = append $found . }}{{ end -}}
{{- end -}}
{{- if not (or $found (lookup "v1" "ServiceAccount" .Release.Namespace "default")) -}}
{{- $found = .Values.watchNamespaces -}}
{{- end -}}
{{- $found | toJson -}}
{{- end }}

{{/* Fails on what the schema cannot see. */}}
{{- define "rloop.check" -}}
{{- if and (not .Values.rbac.clusterWide) (not .Values.watchNamespaces) }}
{{- fail "watchNamespaces is empty: name the namespaces whose loops are served, or set rbac.clusterWide" }}
{{- end }}
{{- /* helm lint renders a release of this name in namespace default, and would complain of the default values. */}}
{{- if and (has .Release.Namespace .Values.watchNamespaces) (ne .Release.Name "test-release") }}
{{- fail (printf "watchNamespaces names %q, the release's own namespace: a loop there could mount its Secrets; install the chart elsewhere, say with -n rloop-system --create-namespace" .Release.Namespace) }}
{{- end }}
{{- end }}

{{/* The way of a loop's pod to one of our processes, as an egress rule. Arguments: root, component. */}}
{{- define "rloop.to" -}}
to:
  - namespaceSelector:
      matchLabels:
        kubernetes.io/metadata.name: {{ .root.Release.Namespace }}
    podSelector:
      matchLabels:
        {{- include "rloop.selector" . | nindent 8 }}
ports:
  - {protocol: TCP, port: 8080}
{{- end }}

{{/* Our processes, comma list. The LLM proxy is one where there are providers for it to speak to. */}}
{{- define "rloop.processes" -}}
operator,gateway,guard{{ if .Values.llm.providers }},proxy{{ end }}
{{- end }}

{{/* The providers as the proxy reads them: a key is a file of its Secret, mounted under the provider's name. */}}
{{- define "rloop.providers" -}}
{{- $providers := list -}}
{{- range .Values.llm.providers -}}
{{- $one := omit . "secret" -}}
{{- if .secret }}{{ $one = set $one "keyFile" (printf "/etc/rloop/llm/%s/key" .name) }}{{ end -}}
{{- $providers = append $providers $one -}}
{{- end -}}
{{- dict "providers" $providers | toYaml -}}
{{- end }}
