{{- define "sallyport.injector.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "sallyport.injector.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "sallyport.injector.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "sallyport.injector.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "sallyport.injector.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sallyport.injector.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: injector
{{- end }}

{{- define "sallyport.injector.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "sallyport.injector.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: sallyport
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Namespaces that are left alone, as a list in JSON. */ -}}
{{- define "sallyport.injector.excluded" -}}
{{- concat (list "kube-system" .Release.Namespace) .Values.webhook.excludedNamespaces | uniq | toJson -}}
{{- end }}

{{- define "sallyport.injector.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "sallyport.injector.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "sallyport.injector.image" -}}
{{- $image := set (deepCopy .Values.image) "tag" (default .Chart.AppVersion .Values.image.tag) -}}
{{- include "sallyport.sidecar.image" (dict "image" $image "global" .Values.global) -}}
{{- end }}

{{- /* The Secret with the certificate. */ -}}
{{- define "sallyport.injector.tlsSecret" -}}
{{- if eq .Values.tls.mode "existing" -}}
{{- .Values.tls.existing.secretName -}}
{{- else -}}
{{- printf "%s-tls" (include "sallyport.injector.fullname" .) -}}
{{- end -}}
{{- end }}

{{- /* The names by which an API server calls the Service. */ -}}
{{- define "sallyport.injector.dnsNames" -}}
{{- $service := printf "%s.%s.svc" (include "sallyport.injector.fullname" .) .Release.Namespace -}}
{{- toYaml (list $service (printf "%s.cluster.local" $service)) -}}
{{- end }}

{{- /* A user or a group that is null or 0 is left out: some platforms assign their own and refuse any other. */ -}}
{{- define "sallyport.injector.podSecurityContext" -}}
{{- $context := deepCopy .Values.podSecurityContext -}}
{{- range $name := list "runAsUser" "runAsGroup" "fsGroup" -}}
{{- if not (get $context $name) }}{{ $_ := unset $context $name }}{{ end -}}
{{- end -}}
{{- toYaml $context -}}
{{- end }}

{{- define "sallyport.injector.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
