{{- define "sallyport.issuer.storeName" -}}
{{ include "sallyport.issuer.fullname" .context }}-{{ .store }}
{{- end }}

{{- define "sallyport.issuer.storeSelectorLabels" -}}
app.kubernetes.io/name: {{ .store }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/component: trial-store
{{- end }}

{{- define "sallyport.issuer.storeLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "sallyport.issuer.storeSelectorLabels" . }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
app.kubernetes.io/part-of: sallyport
{{- with .context.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sallyport.issuer.kafkaBroker" -}}
{{ include "sallyport.issuer.storeName" (dict "context" . "store" "kafka") }}.{{ .Release.Namespace }}.svc:9092
{{- end }}

{{- /* Stores that the chart runs itself. */ -}}
{{- define "sallyport.issuer.deployed" -}}
{{- $found := list -}}
{{- range $store := list "mongodb" "redis" "kafka" -}}
{{- $part := index $.Values $store -}}
{{- if and $part.enabled $part.deploy.enabled }}{{ $found = append $found $store }}{{ end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{- define "sallyport.issuer.storesSecret" -}}
{{ include "sallyport.issuer.fullname" . }}-stores
{{- end }}

{{- /*
One Pod with a volume, its Service, its configuration, and a NetworkPolicy that lets in the issuer only. For trials: one Pod
is no store for production.
  context, store
  port       where it listens
  user       the user of its image
  files      its configuration by file name, at /etc/sallyport
  container  what its container has of its own
*/ -}}
{{- define "sallyport.issuer.store" -}}
{{- $root := .context -}}
{{- $name := include "sallyport.issuer.storeName" . -}}
{{- $deploy := (index $root.Values .store).deploy -}}
{{- $own := $root.Values.podSecurityContext -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}
  labels:
    {{- include "sallyport.issuer.storeLabels" . | nindent 4 }}
data:
  {{- range $file, $text := .files }}
  {{ $file }}: |
    {{- $text | trim | nindent 4 }}
  {{- end }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels:
    {{- include "sallyport.issuer.storeLabels" . | nindent 4 }}
spec:
  ports:
    - { name: {{ .store }}, port: {{ .port }}, targetPort: {{ .store }}, protocol: TCP }
  selector:
    {{- include "sallyport.issuer.storeSelectorLabels" . | nindent 4 }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ $name }}
  labels:
    {{- include "sallyport.issuer.storeLabels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "sallyport.issuer.storeSelectorLabels" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - ports:
        - { protocol: TCP, port: {{ .port }} }
      from:
        - podSelector:
            matchLabels:
              {{- include "sallyport.issuer.selectorLabels" $root | nindent 14 }}
        {{- with $deploy.from }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  # It calls nobody.
  egress: []
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  labels:
    {{- include "sallyport.issuer.storeLabels" . | nindent 4 }}
spec:
  replicas: 1
  serviceName: {{ $name }}
  selector:
    matchLabels:
      {{- include "sallyport.issuer.storeSelectorLabels" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "sallyport.issuer.storeSelectorLabels" . | nindent 8 }}
        {{- with $root.Values.commonLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        checksum/config: {{ toYaml .files | sha256sum }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      terminationGracePeriodSeconds: 60
      securityContext:
        runAsNonRoot: true
        # As with the issuer: what the platform assigns is left out.
        {{- if $own.runAsUser }}
        runAsUser: {{ .user }}
        {{- end }}
        {{- if $own.runAsGroup }}
        runAsGroup: {{ .user }}
        {{- end }}
        {{- if $own.fsGroup }}
        fsGroup: {{ .user }}
        fsGroupChangePolicy: OnRootMismatch
        {{- end }}
        seccompProfile: { type: RuntimeDefault }
      containers:
        - name: {{ .store }}
          image: {{ include "sallyport.issuer.withRegistry" (dict "context" $root "name" $deploy.image) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          {{- .container | trim | nindent 10 }}
          ports:
            - { name: {{ .store }}, containerPort: {{ .port }}, protocol: TCP }
          readinessProbe:
            tcpSocket: { port: {{ .store }} }
            periodSeconds: 5
          livenessProbe:
            tcpSocket: { port: {{ .store }} }
            periodSeconds: 20
            failureThreshold: 6
          securityContext:
            {{- include "sallyport.issuer.containerSecurityContext" $root | nindent 12 }}
          resources:
            {{- toYaml $deploy.resources | nindent 12 }}
          volumeMounts:
            - { name: data, mountPath: {{ .folder }} }
            - { name: config, mountPath: /etc/sallyport, readOnly: true }
            - { name: secrets, mountPath: /run/secrets/stores, readOnly: true }
            - { name: tmp, mountPath: /tmp }
      volumes:
        - name: config
          configMap:
            name: {{ $name }}
        - name: secrets
          secret:
            secretName: {{ include "sallyport.issuer.storesSecret" $root }}
            defaultMode: 0440
            items:
              {{- range include "sallyport.issuer.storeSecrets" .store | fromYamlArray }}
              - { key: {{ . }}, path: {{ . }} }
              {{- end }}
        - name: tmp
          emptyDir:
            sizeLimit: 64Mi
      {{- with $root.Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
  volumeClaimTemplates:
    - metadata:
        name: data
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $root.Values.persistence.storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests:
            storage: {{ $deploy.size }}
{{- end }}

{{- /* What of the Secret a store itself sees. */ -}}
{{- define "sallyport.issuer.storeSecrets" -}}
{{- if eq . "mongodb" }}{{ toYaml (list "mongodb-password" "mongodb-keyfile") }}{{ end -}}
{{- if eq . "redis" }}{{ toYaml (list "redis-login.conf") }}{{ end -}}
{{- if eq . "kafka" }}{{ toYaml (list "kafka-cluster") }}{{ end -}}
{{- end }}
