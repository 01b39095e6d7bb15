{{/*
One of our processes: a StatefulSet of one replica, so that a new pod waits for the end of the old one and has its
name, by which it holds the Lease.
Arguments: root, component, module (if it is not named so), ports (more than the health port).
*/}}
{{- define "rloop.process" -}}
{{- $values := .root.Values -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: rloop-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "rloop.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  replicas: 1
  # OrderedReady would never replace a pod that is not ready by one that a corrected value mends.
  podManagementPolicy: Parallel
  serviceName: rloop-{{ .component }}
  revisionHistoryLimit: 3
  selector:
    matchLabels:
      {{- include "rloop.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "rloop.labels" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
      annotations:
        # What many a Prometheus looks for; all metrics are in docs/metrics.md.
        prometheus.io/scrape: "true"
        prometheus.io/port: "8081"
        prometheus.io/path: /metrics
        {{- if eq .component "proxy" }}
        # It reads its providers when it starts; their keys whenever they change.
        rloop.dev/providers: {{ include "rloop.providers" .root | sha256sum }}
        {{- end }}
    spec:
      serviceAccountName: rloop-{{ .component }}
      automountServiceAccountToken: true
      terminationGracePeriodSeconds: 30
      {{- with $values.images.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: {{ $values.runAsUser | int64 }}
        runAsGroup: {{ $values.runAsUser | int64 }}
        fsGroup: {{ $values.runAsUser | int64 }}
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: {{ .component }}
          image: {{ include "rloop.image" (dict "root" .root "image" "operator") | quote }}
          imagePullPolicy: {{ $values.images.pullPolicy }}
          command: [python, -m, rloop_operator.cluster.{{ .module | default .component }}]
          env:
            - name: RLOOP_NAMESPACE
              valueFrom:
                fieldRef:
                  fieldPath: metadata.namespace
            - name: POD_NAME
              valueFrom:
                fieldRef:
                  fieldPath: metadata.name
            - name: RLOOP_WATCH_NAMESPACES
              value: {{ include "rloop.watched" .root | quote }}
            - name: RLOOP_PATROL_SECONDS
              value: {{ $values.watchdog.patrolSeconds | quote }}
            # The kubelet puts the Service's address here: agents may not ask DNS, so they are told the ClusterIP.
            - name: RLOOP_GATEWAY_URL
              value: {{ $values.gateway.url | default "http://$(RLOOP_GATEWAY_SERVICE_HOST):$(RLOOP_GATEWAY_SERVICE_PORT)" | quote }}
            {{- if $values.llm.providers }}
            - name: RLOOP_LLM_PROXY_URL
              value: {{ $values.llm.url | default "http://$(RLOOP_PROXY_SERVICE_HOST):$(RLOOP_PROXY_SERVICE_PORT)" | quote }}
            {{- end }}
            {{- range list "agent" "verifier" "sidecar" }}
            - name: RLOOP_IMAGE_{{ upper . }}
              value: {{ include "rloop.image" (dict "root" $.root "image" .) | quote }}
            {{- end }}
            - name: RLOOP_PULL_POLICY
              value: {{ $values.images.pullPolicy }}
            - name: RLOOP_NETWORK_POLICIES
              value: {{ $values.networkPolicy.enabled | quote }}
            - name: RLOOP_RUN_AS_USER
              value: {{ $values.runAsUser | int64 | quote }}
            {{- if eq .component "operator" }}
            - name: RLOOP_SEED_KEY_FILE
              value: /etc/rloop/seeds/key
            {{- end }}
          ports:
            - name: health
              containerPort: 8081
            {{- with .ports }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          # A slow start is no hang; after it, silence of a minute is.
          startupProbe:
            httpGet: {path: /healthz, port: health}
            periodSeconds: 2
            failureThreshold: 60
          livenessProbe:
            httpGet: {path: /healthz, port: health}
            periodSeconds: 20
            timeoutSeconds: 5
            failureThreshold: 3
          # Whether it does its work now, which a restart may not be able to mend.
          readinessProbe:
            httpGet: {path: /readyz, port: health}
            periodSeconds: 5
            timeoutSeconds: 5
          resources:
            {{- toYaml (index $values.resources .component) | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            {{- if eq .component "operator" }}
            - name: seed-key
              mountPath: /etc/rloop/seeds
              readOnly: true
            {{- end }}
            {{- if eq .component "proxy" }}
            - name: providers
              mountPath: /etc/rloop/providers
              readOnly: true
            {{- range $values.llm.providers }}
            {{- if .secret }}
            - name: key-{{ .name }}
              mountPath: /etc/rloop/llm/{{ .name }}
              readOnly: true
            {{- end }}
            {{- end }}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir:
            sizeLimit: 64Mi
        {{- if eq .component "operator" }}
        - name: seed-key
          secret:
            secretName: {{ $values.seeds.secret | default "rloop-seed-key" }}
            defaultMode: 0440
            items:
              - key: key
                path: key
        {{- end }}
        {{- if eq .component "proxy" }}
        - name: providers
          configMap:
            name: rloop-providers
        {{- range $values.llm.providers }}
        {{- if .secret }}
        # Optional: one Secret that is missing must not keep the other providers from their campaigns.
        - name: key-{{ .name }}
          secret:
            secretName: {{ .secret.name }}
            optional: true
            defaultMode: 0440
            items:
              - key: {{ .secret.key }}
                path: key
        {{- end }}
        {{- end }}
        {{- end }}
{{- end }}
