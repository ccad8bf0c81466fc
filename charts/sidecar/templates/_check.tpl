{{- /*
What would let somebody reach the service around its sidecar, or keep the sidecar from working. All at once, by the name
of the field. Takes context, values and pod (metadata and spec of a Pod template).
*/ -}}
{{- define "sallyport.sidecar.check" -}}
{{- $problems := include "sallyport.sidecar.kindProblems" .values | fromYamlArray -}}
{{- /* What is of the wrong kind can't be looked at any further. */ -}}
{{- if not $problems -}}
{{- range $name := list "sallyport.sidecar.valueProblems" "sallyport.sidecar.policyProblems" "sallyport.sidecar.podProblems" -}}
{{- $problems = concat $problems (include $name $ | fromYamlArray) -}}
{{- end -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nThese values are wrong:\n- %s\n" (join "\n- " $problems)) -}}
{{- end -}}
{{- end }}

{{- /* What keeps the sidecar from working. */ -}}
{{- define "sallyport.sidecar.valueProblems" -}}
{{- $v := .values -}}
{{- $port := int $v.service.port -}}
{{- $problems := list -}}
{{- if eq $port 0 }}{{ $problems = append $problems "sidecar.service.port: is needed: the port your service listens on" }}{{ end -}}
{{- if not $v.issuer.url }}{{ $problems = append $problems "sidecar.issuer.url: is needed: the `iss` claim of accepted tokens" }}{{ end -}}
{{- if and (not $v.feedToken.secret) (not $v.kafka.brokers) }}{{ $problems = append $problems "sidecar.feedToken.secret: is needed, or sidecar.kafka.brokers: there has to be a feed of revocations" }}{{ end -}}
{{- if eq $port (int $v.port) }}{{ $problems = append $problems "sidecar.port: has to be another than sidecar.service.port" }}{{ end -}}
{{- if has (int $v.admin.port) (list $port (int $v.port)) }}{{ $problems = append $problems "sidecar.admin.port: has to be another than sidecar.port and sidecar.service.port" }}{{ end -}}
{{- if has $v.host (list "127.0.0.1" "::1" "localhost") }}{{ $problems = append $problems "sidecar.host: nobody could reach the sidecar on a loopback address" }}{{ end -}}
{{- if and $v.routes $v.routesConfigMap }}{{ $problems = append $problems "sidecar.routesConfigMap: not together with sidecar.routes" }}{{ end -}}
{{- with $v.kafka -}}
{{- if and .ca (not .tls) }}{{ $problems = append $problems "sidecar.kafka.ca: has a meaning only with sidecar.kafka.tls" }}{{ end -}}
{{- if and .sasl.mechanism (or (not .sasl.username) (not .sasl.secret)) }}{{ $problems = append $problems "sidecar.kafka.sasl.mechanism: needs sidecar.kafka.sasl.username and sidecar.kafka.sasl.secret" }}{{ end -}}
{{- if and (eq .sasl.mechanism "plain") (not .tls) }}{{ $problems = append $problems "sidecar.kafka.sasl.mechanism: plain needs sidecar.kafka.tls, for it sends the password as it is" }}{{ end -}}
{{- end -}}
{{- if and $v.podMonitor.enabled $v.networkPolicy.enabled (not $v.networkPolicy.metricsFrom) }}{{ $problems = append $problems "sidecar.networkPolicy.metricsFrom: is needed with sidecar.podMonitor.enabled: who Prometheus is" }}{{ end -}}
{{- if and $v.podMonitor.enabled (has $v.admin.host (list "127.0.0.1" "::1")) }}{{ $problems = append $problems "sidecar.admin.host: Prometheus does not reach a loopback address; turn sidecar.podMonitor.enabled off" }}{{ end -}}
{{- toYaml $problems -}}
{{- end }}

{{- /* What a NetworkPolicy would admit beside the sidecar's port. */ -}}
{{- define "sallyport.sidecar.policyProblems" -}}
{{- $v := .values -}}
{{- $problems := list -}}
{{- if and (eq $v.isolation "networkPolicy") (not $v.networkPolicy.enabled) }}{{ $problems = append $problems "sidecar.networkPolicy.enabled: without it the service is reachable around the sidecar; with sidecar.isolation loopback it may be off" }}{{ end -}}
{{- range $i, $rule := $v.networkPolicy.additional -}}
{{- $field := printf "sidecar.networkPolicy.additional[%d]" $i -}}
{{- if not $rule.ports }}{{ $problems = append $problems (printf "%s.ports: is needed: a rule without ports admits all, the service's too" $field) }}{{ end -}}
{{- range $port := $rule.ports -}}
{{- if not (regexMatch "^[0-9]+$" (toString .port)) -}}
{{- $problems = append $problems (printf "%s.ports: %v is not a number; a name could be the service's port" $field (default "none" .port)) -}}
{{- else -}}
{{- range $guarded := include "sallyport.sidecar.guardedPorts" $v | splitList "," -}}
{{- if and (le (int $port.port) (int $guarded)) (ge (int (default $port.port $port.endPort)) (int $guarded)) -}}
{{- $problems = append $problems (printf "%s.ports: %v is the service's: it would be reachable around the sidecar" $field $guarded) -}}
{{- end -}}
{{- end -}}
{{- range $mesh := ternary (list 4143 15006 15008) list (eq $v.isolation "networkPolicy") -}}
{{- if and (le (int $port.port) $mesh) (ge (int (default $port.port $port.endPort)) $mesh) -}}
{{- $problems = append $problems (printf "%s.ports: by %v a mesh carries what is meant for every port, the service's too; use sidecar.isolation loopback" $field $mesh) -}}
{{- end -}}
{{- end -}}
{{- if and (le (int .port) (int $v.admin.port)) (ge (int (default .port .endPort)) (int $v.admin.port)) -}}
{{- $problems = append $problems (printf "%s.ports: %v is the admin port; sidecar.networkPolicy.metricsFrom says who reaches that" $field $v.admin.port) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end }}

{{- /* The ports that nobody may reach but the sidecar: the service's, and those of routes that have another in the Pod. */ -}}
{{- define "sallyport.sidecar.guardedPorts" -}}
{{- $ports := list (toString (int .service.port)) -}}
{{- /* Whatever its host: there are many names for this Pod. */ -}}
{{- $address := `(?i)^(https?|h2c?)://[^/]*?(:0*([0-9]+))?(/.*)?$` -}}
{{- range .routes -}}
{{- if regexMatch $address (default "" .upstream) -}}
{{- $port := regexReplaceAll $address .upstream "${3}" -}}
{{- $ports = append $ports (default (ternary "443" "80" (has (regexReplaceAll $address .upstream "${1}" | lower) (list "https" "h2"))) $port) -}}
{{- end -}}
{{- end -}}
{{- join "," (uniq $ports) -}}
{{- end }}
