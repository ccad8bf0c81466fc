{{- /*
What the schema says of .Values.sidecar, again for the values of one workload, which no schema sees: everything on which
decides whether the service is guarded. Takes values.
*/ -}}
{{- define "sallyport.sidecar.kindProblems" -}}
{{- $v := . -}}
{{- $problems := list -}}
{{- $choices := dict "isolation" (list "loopback" "networkPolicy") "native" (list "always" "never") "whenStale" (list "unready" "serve") "onRoutesChange" (list "restart" "reload") -}}
{{- range $name, $known := $choices -}}
{{- $value := index $v $name -}}
{{- if not (has $value $known) }}{{ $problems = append $problems (printf "sidecar.%s: %v is none of %s" $name $value (join ", " $known)) }}{{ end -}}
{{- end -}}
{{- if not (has $v.service.scheme (list "http" "https" "h2c" "h2")) }}{{ $problems = append $problems (printf "sidecar.service.scheme: %v is none of http, https, h2c, h2" $v.service.scheme) }}{{ end -}}
{{- range $name, $value := dict "networkPolicy.enabled" $v.networkPolicy.enabled "podMonitor.enabled" $v.podMonitor.enabled "kafka.tls" $v.kafka.tls -}}
{{- if not (kindIs "bool" $value) }}{{ $problems = append $problems (printf "sidecar.%s: %v is not true or false" $name $value) }}{{ end -}}
{{- end -}}
{{- range $name, $value := dict "port" $v.port "admin.port" $v.admin.port "service.port" $v.service.port -}}
{{- if not (and (regexMatch "^(0|[1-9][0-9]{0,4})$" (toString $value)) (le (int $value) 65535)) }}{{ $problems = append $problems (printf "sidecar.%s: %v is not a port" $name $value) }}{{ end -}}
{{- end -}}
{{- $known := include "sallyport.sidecar.knownSettings" $v | fromYamlArray -}}
{{- range $name := keys (default dict $v.settings) | sortAlpha -}}
{{- if not (has $name $known) }}{{ $problems = append $problems (printf "sidecar.settings.%s: there is no such setting, or other values make it" $name) }}{{ end -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end }}
