{{- /* Settings of the sidecar, none of them a secret. Takes values. */ -}}
{{- define "sallyport.sidecar.environment" -}}
{{- $v := . -}}
{{- $native := eq .native "always" -}}
{{- $env := dict "SIDECAR_HOST" $v.host "SIDECAR_PORT" (toString $v.port) "SIDECAR_ADMIN_HOST" $v.admin.host "SIDECAR_ADMIN_PORT" (toString $v.admin.port) "DATA_DIR" "/data" -}}
{{- $_ := set $env "UPSTREAM" (printf "%s://127.0.0.1:%v" $v.service.scheme $v.service.port) -}}
{{- $_ := set $env "ISSUER_URL" (trimSuffix "/" $v.issuer.url) -}}
{{- $_ := set $env "AUDIENCE" (join "," $v.audience) -}}
{{- $_ := set $env "DRAIN_DELAY" (ternary "0s" (printf "%vs" $v.shutdown.delaySeconds) $native) -}}
{{- $_ := set $env "DRAIN_DEADLINE" (printf "%vs" $v.shutdown.deadlineSeconds) -}}
{{- with $v.issuer.internalUrl }}{{ $_ := set $env "ISSUER_INTERNAL_URL" (trimSuffix "/" .) }}{{ end -}}
{{- if $v.issuer.ca }}{{ $_ := set $env "ISSUER_CA_FILE" "/run/sallyport/issuer-ca/ca.crt" }}{{ end -}}
{{- if $v.feedToken.secret }}{{ $_ := set $env "FEED_TOKEN_FILE" "/run/sallyport/feed-token/value" }}{{ end -}}
{{- with $v.kafka -}}
{{- if .brokers -}}
{{- $_ := set $env "KAFKA_BROKERS" (join "," .brokers) -}}
{{- $_ := set $env "KAFKA_TOPIC" .topic -}}
{{- if .tls }}{{ $_ := set $env "KAFKA_TLS" "on" }}{{ end -}}
{{- if .ca }}{{ $_ := set $env "KAFKA_CA_FILE" "/run/sallyport/kafka-ca/ca.crt" }}{{ end -}}
{{- if .sasl.mechanism -}}
{{- $_ := set $env "KAFKA_SASL_MECHANISM" .sasl.mechanism -}}
{{- $_ := set $env "KAFKA_SASL_USERNAME" .sasl.username -}}
{{- $_ := set $env "KAFKA_SASL_PASSWORD_FILE" "/run/sallyport/kafka-password/value" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if or $v.routes $v.routesConfigMap }}{{ $_ := set $env "ROUTES_FILE" "/run/sallyport/routes/routes.yaml" }}{{ end -}}
{{- if $v.tls.secretName -}}
{{- $_ := set $env "SIDECAR_TLS_CERT_FILE" "/run/sallyport/tls/tls.crt" -}}
{{- $_ := set $env "SIDECAR_TLS_KEY_FILE" "/run/sallyport/tls/tls.key" -}}
{{- end -}}
{{- range $name, $value := $v.settings }}{{ $_ := set $env $name (include "sallyport.sidecar.settingText" $value) }}{{ end -}}
{{- toYaml $env -}}
{{- end }}

{{- /* YAML reads `on` as true and 1000000 as 1e+06; a setting is the text that was meant. */ -}}
{{- define "sallyport.sidecar.settingText" -}}
{{- if kindIs "bool" . -}}{{ ternary "on" "off" . }}{{- else if kindIs "float64" . -}}{{ printf "%.0f" . }}{{- else -}}{{ . }}{{- end -}}
{{- end }}

{{- /* An image's name, with the registry of global.imageRegistry unless it names one itself. Takes image and global. */ -}}
{{- define "sallyport.sidecar.image" -}}
{{- with .image -}}
{{- if and $.global.imageRegistry (not (regexMatch "^([^/]*[.:][^/]*|localhost)/" .repository)) -}}{{ $.global.imageRegistry }}/{{ end -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag }}{{- end -}}
{{- end -}}
{{- end }}

{{- /* Volumes, each with the folder it has in the sidecar. Takes values and name (of the workload). */ -}}
{{- define "sallyport.sidecar.volumes" -}}
{{- $v := .values -}}
{{- $found := list (dict "path" "/data" "volume" (dict "name" "sallyport-data" "emptyDir" (dict "sizeLimit" "16Mi"))) -}}
{{- /* The sidecar does not speak to the API server: a token that the Pod has is not for it. */ -}}
{{- $found = append $found (dict "path" "/var/run/secrets/kubernetes.io/serviceaccount" "volume" (dict "name" "sallyport-no-token" "emptyDir" (dict "sizeLimit" "1Mi"))) -}}
{{- if or $v.routes $v.routesConfigMap -}}
{{- $map := default (printf "%s-sallyport" .name) $v.routesConfigMap -}}
{{- $found = append $found (dict "path" "/run/sallyport/routes" "volume" (dict "name" "sallyport-routes" "configMap" (dict "name" $map))) -}}
{{- end -}}
{{- with $v.feedToken -}}
{{- if .secret -}}
{{- $found = append $found (dict "path" "/run/sallyport/feed-token" "volume" (dict "name" "sallyport-feed-token" "secret" (dict "secretName" .secret "items" (list (dict "key" .key "path" "value"))))) -}}
{{- end -}}
{{- end -}}
{{- with $v.kafka.sasl -}}
{{- if and $v.kafka.brokers .mechanism -}}
{{- $found = append $found (dict "path" "/run/sallyport/kafka-password" "volume" (dict "name" "sallyport-kafka-password" "secret" (dict "secretName" .secret "items" (list (dict "key" .key "path" "value"))))) -}}
{{- end -}}
{{- end -}}
{{- $authorities := dict "issuer-ca" $v.issuer.ca -}}
{{- if $v.kafka.brokers }}{{ $_ := set $authorities "kafka-ca" $v.kafka.ca }}{{ end -}}
{{- range $name, $ca := $authorities -}}
{{- if $ca -}}
{{- $items := list (dict "key" (default "ca.crt" $ca.key) "path" "ca.crt") -}}
{{- $volume := dict "name" (printf "sallyport-%s" $name) -}}
{{- if $ca.configMap }}{{ $_ := set $volume "configMap" (dict "name" $ca.configMap "items" $items) }}{{ else }}{{ $_ := set $volume "secret" (dict "secretName" $ca.secret "items" $items) }}{{ end -}}
{{- $found = append $found (dict "path" (printf "/run/sallyport/%s" $name) "volume" $volume) -}}
{{- end -}}
{{- end -}}
{{- with $v.tls.secretName -}}
{{- $found = append $found (dict "path" "/run/sallyport/tls" "volume" (dict "name" "sallyport-tls" "secret" (dict "secretName" .))) -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{- /* One probe of the admin port. Takes values and path. */ -}}
{{- define "sallyport.sidecar.probe" -}}
{{- if has .values.admin.host (list "127.0.0.1" "::1" "localhost") -}}
exec:
  command: [sallyport, health, {{ printf "http://%s:%v%s" (ternary "[::1]" .values.admin.host (eq .values.admin.host "::1")) .values.admin.port .path | quote }}]
{{- else -}}
httpGet: { path: {{ .path }}, port: {{ .values.admin.port }} }
{{- end -}}
{{- end }}

{{- /* The container. Takes values (with native settled to always or never) and name. */ -}}
{{- define "sallyport.sidecar.container" -}}
{{- $v := .values -}}
name: sallyport
image: {{ include "sallyport.sidecar.image" $v }}
imagePullPolicy: {{ $v.image.pullPolicy }}
args: [sidecar]
{{- if eq $v.native "always" }}
restartPolicy: Always
{{- end }}
env:
  {{- range $name, $value := include "sallyport.sidecar.environment" $v | fromYaml }}
  - { name: {{ $name }}, value: {{ $value | quote }} }
  {{- end }}
ports:
  - { name: sallyport, containerPort: {{ $v.port }}, protocol: TCP }
  - { name: sallyport-admin, containerPort: {{ $v.admin.port }}, protocol: TCP }
startupProbe:
  {{- include "sallyport.sidecar.probe" (dict "values" $v "path" (ternary "/readyz" "/livez" (eq $v.whenStale "serve"))) | nindent 2 }}
  periodSeconds: 1
  timeoutSeconds: 4
  {{- /* /readyz waits for issuer and feed. With less than 10 minutes the kubelet's pauses before a restart would grow to 5. */}}
  failureThreshold: {{ ternary 900 120 (eq $v.whenStale "serve") }}
readinessProbe:
  {{- include "sallyport.sidecar.probe" (dict "values" $v "path" (ternary "/livez" "/readyz" (eq $v.whenStale "serve"))) | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 4
  failureThreshold: 2
livenessProbe:
  {{- include "sallyport.sidecar.probe" (dict "values" $v "path" "/livez") | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
resources:
  {{- toYaml $v.resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  {{- with $v.runAsUser }}
  runAsUser: {{ int64 . }}
  {{- end }}
  {{- with $v.runAsGroup }}
  runAsGroup: {{ int64 . }}
  {{- end }}
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
  seccompProfile: { type: RuntimeDefault }
volumeMounts:
  {{- range include "sallyport.sidecar.volumes" . | fromYamlArray }}
  - name: {{ .volume.name }}
    mountPath: {{ .path }}
    {{- if ne .path "/data" }}
    readOnly: true
    {{- end }}
  {{- end }}
{{- end }}
