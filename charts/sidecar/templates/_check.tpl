{{- /*
What would let somebody reach the service around its sidecar, or keep the sidecar from working. All at once, by the name
of the field. Takes context, values and pod (metadata and spec of a Pod template).
*/ -}}
{{- define "sallyport.sidecar.check" -}}
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
{{- if and (eq $v.isolation "networkPolicy") (not $v.networkPolicy.enabled) }}{{ $problems = append $problems "sidecar.networkPolicy.enabled: without it the service is reachable around the sidecar; with sidecar.isolation loopback it may be off" }}{{ end -}}
{{- range $i, $rule := $v.networkPolicy.additional -}}
{{- $field := printf "sidecar.networkPolicy.additional[%d]" $i -}}
{{- if not $rule.ports }}{{ $problems = append $problems (printf "%s.ports: is needed: a rule without ports admits all, the service's too" $field) }}{{ end -}}
{{- range $rule.ports -}}
{{- if not (regexMatch "^[0-9]+$" (toString .port)) -}}
{{- $problems = append $problems (printf "%s.ports: %v is not a number; a name could be the service's port" $field (default "none" .port)) -}}
{{- else if and (le (int .port) $port) (ge (int (default .port .endPort)) $port) (ne (default "TCP" .protocol) "UDP") -}}
{{- $problems = append $problems (printf "%s.ports: %v is the service's: it would be reachable around the sidecar" $field $port) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $problems = concat $problems (include "sallyport.sidecar.podProblems" . | fromYamlArray) -}}
{{- if $problems -}}
{{- fail (printf "\n\nThese values are wrong:\n- %s\n" (join "\n- " $problems)) -}}
{{- end -}}
{{- end }}

{{- define "sallyport.sidecar.podProblems" -}}
{{- $v := .values -}}
{{- $spec := .pod.spec -}}
{{- $port := int $v.service.port -}}
{{- $loopback := eq $v.isolation "loopback" -}}
{{- $problems := list -}}
{{- if $spec.hostNetwork }}{{ $problems = append $problems "hostNetwork: the Pod would have the network of its node, where others reach the service around the sidecar" }}{{ end -}}
{{- range $container := concat (default list $spec.containers) (default list $spec.initContainers) -}}
{{- $name := printf "container %s" $container.name -}}
{{- if eq $container.name "sallyport" }}{{ $problems = append $problems (printf "%s: this is what the sidecar is called" $name) }}{{ end -}}
{{- $portNames := list -}}
{{- range $container.ports -}}
{{- if has (int .containerPort) (list (int $v.port) (int $v.admin.port)) }}{{ $problems = append $problems (printf "%s, ports: %v is the sidecar's; change sidecar.port or sidecar.admin.port" $name .containerPort) }}{{ end -}}
{{- if eq (int .containerPort) $port -}}
{{- with .name }}{{ $portNames = append $portNames . }}{{ end -}}
{{- if .hostPort -}}
{{- $problems = append $problems (printf "%s, ports: hostPort %v would make the service reachable around the sidecar" $name .hostPort) -}}
{{- else if $loopback -}}
{{- $problems = append $problems (printf "%s, ports: %v is the service's, which nobody else may reach: leave it out and listen on 127.0.0.1, or set sidecar.isolation to networkPolicy" $name $port) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $loopback -}}
{{- range $kind := list "startupProbe" "readinessProbe" "livenessProbe" -}}
{{- $probe := default dict (index $container $kind) -}}
{{- range $way := list "httpGet" "tcpSocket" "grpc" -}}
{{- $target := default dict (index $probe $way) -}}
{{- if or (eq (toString $target.port) (toString $port)) (has $target.port $portNames) -}}
{{- $problems = append $problems (printf "%s, %s: the kubelet asks at the Pod's address, where the service must not listen; use exec, or set sidecar.isolation to networkPolicy" $name $kind) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $container.env -}}
{{- if regexMatch "^(https?://)?(0\\.0\\.0\\.0|\\[?::\\]?|\\*)(:[0-9]+)?$|^:[0-9]+$" (toString .value) -}}
{{- $problems = append $problems (printf "%s, env %s: %v is every address: the service would be reachable around the sidecar; use 127.0.0.1, or set sidecar.isolation to networkPolicy" $name .name .value) -}}
{{- end -}}
{{- end -}}
{{- range concat (default list $container.command) (default list $container.args) -}}
{{- if regexMatch "(^|[=\\s/])(0\\.0\\.0\\.0|\\[::\\]|::)(:[0-9]+)?($|\\s)" (toString .) -}}
{{- $problems = append $problems (printf "%s, args: %v is every address: the service would be reachable around the sidecar; use 127.0.0.1, or set sidecar.isolation to networkPolicy" $name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end }}
