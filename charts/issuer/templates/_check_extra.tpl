{{- /*
What in extraEnv, extraVolumes, extraVolumeMounts and extraInitContainers would undo what the chart does: a setting that another
value makes, a check of certificates that is off, a secret that Helm keeps with its release. Takes context, volumes and
containers (names that the chart has itself) and elsewhere (where settings go).
*/ -}}
{{- define "sallyport.issuer.extraProblems" -}}
{{- $v := .context.Values -}}
{{- $known := include "sallyport.issuer.programSettings" . | fromYamlArray -}}
{{- $problems := list -}}
{{- $seen := list -}}
{{- range $i, $env := $v.extraEnv -}}
{{- $field := printf "extraEnv[%d]: %s" $i .name -}}
{{- if has .name $seen }}{{ $problems = append $problems (printf "%s is there twice" $field) }}{{ end -}}
{{- $seen = append $seen .name -}}
{{- if or (has (trimSuffix "_FILE" .name) $known) (has .name $known) (regexMatch "^(ISSUER|SIDECAR|INJECTOR|HASH|JWKS|FEED)_" .name) -}}
{{- $problems = append $problems (printf "%s is a setting of the program: %s" $field $.elsewhere) -}}
{{- else if eq .name "NODE_TLS_REJECT_UNAUTHORIZED" -}}
{{- $problems = append $problems (printf "%s would have any certificate accepted; name authorities by NODE_EXTRA_CA_CERTS" $field) -}}
{{- else if eq .name "NODE_OPTIONS" -}}
{{- if not .value }}{{ $problems = append $problems (printf "%s is needed as value: some options are refused" $field) }}{{ end -}}
{{- with regexFind `--(insecure[-_]http[-_]parser|inspect[a-z_-]*|security[-_]revert|tls[-_]min[a-z0-9._-]*)` (default "" .value) }}{{ $problems = append $problems (printf "%s: %s opens what is closed" $field .) }}{{ end -}}
{{- else if and .value (or (regexMatch `(?i)(PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|API_?KEY|PRIVATE_?KEY)` .name) (regexMatch `://[^/@\s]*:[^/@\s]*@|-----BEGIN [A-Z ]*PRIVATE KEY` .value)) -}}
{{- $problems = append $problems (printf "%s looks like a secret, which Helm would keep with its release: use valueFrom.secretKeyRef" $field) -}}
{{- end -}}
{{- end -}}
{{- $volumes := list -}}
{{- range $i, $volume := $v.extraVolumes -}}
{{- if has .name $.volumes }}{{ $problems = append $problems (printf "extraVolumes[%d]: %s is what a volume of the chart is called" $i .name) }}{{ end -}}
{{- if has .name $volumes }}{{ $problems = append $problems (printf "extraVolumes[%d]: %s is there twice" $i .name) }}{{ end -}}
{{- $volumes = append $volumes .name -}}
{{- end -}}
{{- range $i, $mount := $v.extraVolumeMounts -}}
{{- if not (has .name $volumes) }}{{ $problems = append $problems (printf "extraVolumeMounts[%d]: %s is none of extraVolumes" $i .name) }}{{ end -}}
{{- end -}}
{{- range $i, $container := $v.extraInitContainers -}}
{{- if has .name $.containers }}{{ $problems = append $problems (printf "extraInitContainers[%d]: %s is what a container of the chart is called" $i .name) }}{{ end -}}
{{- range .volumeMounts -}}
{{- if not (has .name $volumes) }}{{ $problems = append $problems (printf "extraInitContainers[%d].volumeMounts: %s is none of extraVolumes" $i .name) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end }}
