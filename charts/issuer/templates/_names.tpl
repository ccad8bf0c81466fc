{{- define "sallyport.issuer.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "sallyport.issuer.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "sallyport.issuer.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "sallyport.issuer.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "sallyport.issuer.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sallyport.issuer.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: issuer
{{- end }}

{{- define "sallyport.issuer.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "sallyport.issuer.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: sallyport
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Of the migration's Pod. Not those of the issuer: no Service and no policy of its may take this Pod for one. */ -}}
{{- define "sallyport.issuer.migrationLabels" -}}
app.kubernetes.io/name: {{ include "sallyport.issuer.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: migration
{{- end }}

{{- define "sallyport.issuer.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "sallyport.issuer.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "sallyport.issuer.secretName" -}}
{{- default (include "sallyport.issuer.fullname" .) .Values.secrets.existingSecret -}}
{{- end }}

{{- define "sallyport.issuer.image" -}}
{{- $image := .Values.image -}}
{{- $name := ternary (printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag)) (printf "%s@%s" $image.repository $image.digest) (eq $image.digest "") -}}
{{- include "sallyport.issuer.withRegistry" (dict "context" . "name" $name) -}}
{{- end }}

{{- /* An image's name, with the registry of global.imageRegistry unless it names one itself. Takes context and name. */ -}}
{{- define "sallyport.issuer.withRegistry" -}}
{{- $registry := .context.Values.global.imageRegistry -}}
{{- if and $registry (not (regexMatch "^([^/]*[.:][^/]*|localhost)/" .name)) -}}{{ $registry }}/{{ end -}}{{ .name }}
{{- end }}

{{- define "sallyport.issuer.scheme" -}}
{{- ternary "https" "http" (ne .Values.tls.secretName "") -}}
{{- end }}

{{- /* The issuer's name, which is in every token. */ -}}
{{- define "sallyport.issuer.url" -}}
{{- if .Values.url -}}
{{- .Values.url | trimSuffix "/" -}}
{{- else if .Values.ingress.enabled -}}
https://{{ .Values.ingress.host }}
{{- else -}}
{{- printf "%s://%s.%s.svc:%v" (include "sallyport.issuer.scheme" .) (include "sallyport.issuer.fullname" .) .Release.Namespace .Values.service.port -}}
{{- end -}}
{{- end }}

{{- /* Whether something is kept on the volume. */ -}}
{{- define "sallyport.issuer.embedded" -}}
{{- if not (and .Values.mongodb.enabled .Values.redis.enabled) }}true{{ end -}}
{{- end }}

{{- define "sallyport.issuer.several" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) }}true{{ end -}}
{{- end }}
