{{- /* What in a Pod opens a way around its sidecar, or collides with it. */ -}}
{{- define "sallyport.sidecar.podProblems" -}}
{{- $v := .values -}}
{{- $spec := .pod.spec -}}
{{- $problems := list -}}
{{- if $spec.hostNetwork }}{{ $problems = append $problems "hostNetwork: the Pod would have the network of its node, where others reach the service around the sidecar" }}{{ end -}}
{{- if and (eq $v.isolation "networkPolicy") (hasKey (default dict (default dict .pod.metadata).annotations) "k8s.v1.cni.cncf.io/networks") }}{{ $problems = append $problems "annotation k8s.v1.cni.cncf.io/networks: no NetworkPolicy holds in another network; use sidecar.isolation loopback" }}{{ end -}}
{{- range (default dict $spec.securityContext).sysctls -}}
{{- if hasSuffix ".route_localnet" (toString .name) }}{{ $problems = append $problems (printf "securityContext.sysctls: %s would let others reach 127.0.0.1, around the sidecar" .name) }}{{ end -}}
{{- end -}}
{{- range .claims -}}
{{- if hasPrefix "sallyport-" (toString .metadata.name) }}{{ $problems = append $problems (printf "volumeClaimTemplates: %s is what a volume of the sidecar is called" .metadata.name) }}{{ end -}}
{{- end -}}
{{- range $spec.volumes -}}
{{- if hasPrefix "sallyport-" (toString .name) }}{{ $problems = append $problems (printf "volume %s: this is what a volume of the sidecar is called" .name) }}{{ end -}}
{{- end -}}
{{- range $container := concat (default list $spec.containers) (default list $spec.initContainers) -}}
{{- $problems = concat $problems (include "sallyport.sidecar.containerProblems" (dict "values" $v "container" $container) | fromYamlArray) -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end }}

{{- /* The same of one container. Takes values and container. */ -}}
{{- define "sallyport.sidecar.containerProblems" -}}
{{- $v := .values -}}
{{- $container := .container -}}
{{- $name := printf "container %s" $container.name -}}
{{- $guarded := include "sallyport.sidecar.guardedPorts" $v | splitList "," -}}
{{- $loopback := eq $v.isolation "loopback" -}}
{{- $problems := list -}}
{{- if eq $container.name "sallyport" }}{{ $problems = append $problems (printf "%s: this is what the sidecar is called" $name) }}{{ end -}}
{{- range $container.volumeMounts -}}
{{- if hasPrefix "sallyport-" (toString .name) }}{{ $problems = append $problems (printf "%s, volumeMounts: %s is the sidecar's" $name .name) }}{{ end -}}
{{- end -}}
{{- $portNames := list -}}
{{- range $container.ports -}}
{{- if has (int .containerPort) (list (int $v.port) (int $v.admin.port)) }}{{ $problems = append $problems (printf "%s, ports: %v is the sidecar's; change sidecar.port or sidecar.admin.port" $name .containerPort) }}{{ end -}}
{{- if has (toString (int .containerPort)) $guarded -}}
{{- with .name }}{{ $portNames = append $portNames . }}{{ end -}}
{{- if .hostPort -}}
{{- $problems = append $problems (printf "%s, ports: hostPort %v would make the service reachable around the sidecar" $name .hostPort) -}}
{{- else if $loopback -}}
{{- $problems = append $problems (printf "%s, ports: %v is the service's, which nobody else may reach: leave it out and listen on 127.0.0.1, or set sidecar.isolation to networkPolicy" $name .containerPort) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $loopback -}}
{{- range $kind := list "startupProbe" "readinessProbe" "livenessProbe" -}}
{{- $probe := default dict (index $container $kind) -}}
{{- range $way := list "httpGet" "tcpSocket" "grpc" -}}
{{- $target := default dict (index $probe $way) -}}
{{- if or (has (toString $target.port) $guarded) (has $target.port $portNames) -}}
{{- $problems = append $problems (printf "%s, %s: the kubelet asks at the Pod's address, where the service must not listen; use exec, or set sidecar.isolation to networkPolicy" $name $kind) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range include "sallyport.sidecar.addressProblems" (dict "container" $container "guarded" $guarded) | fromYamlArray -}}
{{- $problems = append $problems (printf "%s, %s is every address: the service would be reachable around the sidecar; use 127.0.0.1, or set sidecar.isolation to networkPolicy" $name .) -}}
{{- end -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end }}
