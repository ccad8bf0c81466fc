{{- /* Files of the Secret by the setting that names them: what is in a file is in no environment. */ -}}
{{- define "sallyport.issuer.secretFiles" -}}
{{- $v := .Values -}}
{{- $keys := $v.secrets.keys -}}
{{- $files := dict -}}
{{- if $keys.masterKey }}{{ $_ := set $files "MASTER_KEY" $keys.masterKey }}{{ end -}}
{{- if $keys.feedToken }}{{ $_ := set $files "FEED_TOKEN" $keys.feedToken }}{{ end -}}
{{- if $keys.signingKey }}{{ $_ := set $files "SIGNING_KEY" $keys.signingKey }}{{ end -}}
{{- if $keys.signingKeyPassphrase }}{{ $_ := set $files "SIGNING_KEY_PASSPHRASE" $keys.signingKeyPassphrase }}{{ end -}}
{{- if $keys.smtpUrl }}{{ $_ := set $files "SMTP_URL" $keys.smtpUrl }}{{ end -}}
{{- if and $v.mongodb.enabled (not $v.mongodb.url) (not $v.mongodb.deploy.enabled) }}{{ $_ := set $files "MONGO_URL" $keys.mongoUrl }}{{ end -}}
{{- if and $v.redis.enabled (not $v.redis.url) (not $v.redis.deploy.enabled) }}{{ $_ := set $files "REDIS_URL" $keys.redisUrl }}{{ end -}}
{{- if and $v.kafka.enabled $v.kafka.sasl.mechanism }}{{ $_ := set $files "KAFKA_SASL_PASSWORD" $keys.kafkaPassword }}{{ end -}}
{{- toYaml $files -}}
{{- end }}

{{- /* Addresses, with their passwords, of stores that the chart runs itself. */ -}}
{{- define "sallyport.issuer.deployedUrls" -}}
{{- $urls := list -}}
{{- if and .Values.mongodb.enabled .Values.mongodb.deploy.enabled }}{{ $urls = append $urls "MONGO_URL" }}{{ end -}}
{{- if and .Values.redis.enabled .Values.redis.deploy.enabled }}{{ $urls = append $urls "REDIS_URL" }}{{ end -}}
{{- toYaml $urls -}}
{{- end }}

{{- define "sallyport.issuer.brokers" -}}
{{- if .Values.kafka.deploy.enabled }}{{ include "sallyport.issuer.kafkaBroker" . }}{{ else }}{{ join "," .Values.kafka.brokers }}{{ end -}}
{{- end }}

{{- /* Certificate authorities by the setting that names their file. */ -}}
{{- define "sallyport.issuer.authorities" -}}
{{- $found := dict -}}
{{- range $name, $setting := dict "mongodb" "MONGO_CA" "redis" "REDIS_CA" "kafka" "KAFKA_CA" -}}
{{- $part := index $.Values $name -}}
{{- if and $part.enabled $part.ca }}{{ $_ := set $found $setting $part.ca }}{{ end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{- /* The settings that are no secrets, as the ConfigMap has them. */ -}}
{{- define "sallyport.issuer.environment" -}}
{{- $v := .Values -}}
{{- $env := dict "ISSUER_HOST" $v.host "ISSUER_PORT" "4000" "DATA_DIR" "/data" "ISSUER_URL" (include "sallyport.issuer.url" .) "AUDIENCE" (join "," $v.audience) "SHUTDOWN_DEADLINE" (printf "%vs" $v.shutdown.deadlineSeconds) -}}
{{- range $name, $file := include "sallyport.issuer.secretFiles" . | fromYaml }}{{ $_ := set $env (printf "%s_FILE" $name) (printf "/run/secrets/sallyport/%s" $name) }}{{ end -}}
{{- range $name := include "sallyport.issuer.deployedUrls" . | fromYamlArray }}{{ $_ := set $env (printf "%s_FILE" $name) (printf "/run/secrets/stores/%s" $name) }}{{ end -}}
{{- range $name, $ca := include "sallyport.issuer.authorities" . | fromYaml }}{{ $_ := set $env (printf "%s_FILE" $name) (printf "/run/authorities/%s/ca.crt" $name) }}{{ end -}}
{{- if and $v.mongodb.enabled $v.mongodb.url }}{{ $_ := set $env "MONGO_URL" $v.mongodb.url }}{{ end -}}
{{- if and $v.redis.enabled $v.redis.url }}{{ $_ := set $env "REDIS_URL" $v.redis.url }}{{ end -}}
{{- if $v.kafka.enabled -}}
{{- $_ := set $env "KAFKA_BROKERS" (include "sallyport.issuer.brokers" .) -}}
{{- $_ := set $env "KAFKA_TOPIC" $v.kafka.topic -}}
{{- if $v.kafka.tls }}{{ $_ := set $env "KAFKA_TLS" "on" }}{{ end -}}
{{- with $v.kafka.sasl.mechanism }}{{ $_ := set $env "KAFKA_SASL_MECHANISM" . }}{{ $_ := set $env "KAFKA_SASL_USERNAME" $v.kafka.sasl.username }}{{ end -}}
{{- end -}}
{{- if $v.tls.secretName -}}
{{- $_ := set $env "ISSUER_TLS_CERT_FILE" "/run/tls/tls.crt" -}}
{{- $_ := set $env "ISSUER_TLS_KEY_FILE" "/run/tls/tls.key" -}}
{{- end -}}
{{- range $name, $value := $v.settings }}{{ $_ := set $env $name (include "sallyport.issuer.settingText" $value) }}{{ end -}}
{{- toYaml $env -}}
{{- end }}

{{- /* YAML reads `on` as true and 1000000 as 1e+06; a setting is the text that was meant. */ -}}
{{- define "sallyport.issuer.settingText" -}}
{{- if kindIs "bool" . -}}{{ ternary "on" "off" . }}{{- else if kindIs "float64" . -}}{{ printf "%.0f" . }}{{- else -}}{{ . }}{{- end -}}
{{- end }}

{{- define "sallyport.issuer.volumeMounts" -}}
- name: data
  mountPath: /data
- name: tmp
  mountPath: /tmp
- name: secrets
  mountPath: /run/secrets/sallyport
  readOnly: true
{{- if include "sallyport.issuer.deployedUrls" . | fromYamlArray }}
- name: stores
  mountPath: /run/secrets/stores
  readOnly: true
{{- end }}
{{- range $name, $ca := include "sallyport.issuer.authorities" . | fromYaml }}
- name: {{ $name | lower | replace "_" "-" }}
  mountPath: /run/authorities/{{ $name }}
  readOnly: true
{{- end }}
{{- if .Values.tls.secretName }}
- name: tls
  mountPath: /run/tls
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sallyport.issuer.volumes" -}}
- name: data
  {{- if and (include "sallyport.issuer.embedded" .) .Values.persistence.enabled }}
  persistentVolumeClaim:
    claimName: {{ default (include "sallyport.issuer.fullname" .) .Values.persistence.existingClaim }}
  {{- else }}
  emptyDir: {}
  {{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
- name: secrets
  secret:
    secretName: {{ include "sallyport.issuer.secretName" . }}
    defaultMode: 0440
    items:
      {{- range $name, $key := include "sallyport.issuer.secretFiles" . | fromYaml }}
      - key: {{ $key }}
        path: {{ $name }}
      {{- end }}
{{- with include "sallyport.issuer.deployedUrls" . | fromYamlArray }}
- name: stores
  secret:
    secretName: {{ include "sallyport.issuer.storesSecret" $ }}
    defaultMode: 0440
    items:
      {{- range . }}
      - { key: {{ . }}, path: {{ . }} }
      {{- end }}
{{- end }}
{{- range $name, $ca := include "sallyport.issuer.authorities" . | fromYaml }}
- name: {{ $name | lower | replace "_" "-" }}
  {{- if $ca.configMap }}
  configMap:
    name: {{ $ca.configMap }}
    items: [{ key: {{ default "ca.crt" $ca.key | quote }}, path: ca.crt }]
  {{- else }}
  secret:
    secretName: {{ $ca.secret }}
    defaultMode: 0440
    items: [{ key: {{ default "ca.crt" $ca.key | quote }}, path: ca.crt }]
  {{- end }}
{{- end }}
{{- if .Values.tls.secretName }}
- name: tls
  secret:
    secretName: {{ .Values.tls.secretName }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Containers of yours: without a security context of their own they get the issuer's. */ -}}
{{- define "sallyport.issuer.extraInitContainers" -}}
{{- $context := include "sallyport.issuer.containerSecurityContext" . | fromYaml -}}
{{- range .Values.extraInitContainers }}
- {{ toYaml (ternary . (set (deepCopy .) "securityContext" $context) (hasKey . "securityContext")) | nindent 2 | trim }}
{{- end }}
{{- end }}

{{- /* What the Pods of issuers and of the migration have in common: where they run, and as whom. */ -}}
{{- define "sallyport.issuer.podFields" -}}
securityContext:
  {{- include "sallyport.issuer.podSecurityContext" . | nindent 2 }}
{{- range $field := list "imagePullSecrets" "priorityClassName" "runtimeClassName" "hostAliases" "dnsConfig" "nodeSelector" "tolerations" "affinity" }}
{{- with index $.Values $field }}
{{ dict $field . | toYaml }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sallyport.issuer.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* A user or a group that is null or 0 is left out: some platforms assign their own and refuse any other. */ -}}
{{- define "sallyport.issuer.podSecurityContext" -}}
{{- $context := deepCopy .Values.podSecurityContext -}}
{{- range $name := list "runAsUser" "runAsGroup" "fsGroup" -}}
{{- if not (get $context $name) }}{{ $_ := unset $context $name }}{{ end -}}
{{- end -}}
{{- toYaml $context -}}
{{- end }}
