{{- /* What Pods are given: the library chart's container and volumes, and what else it gives Pods of charts that include it. */ -}}
{{- define "sallyport.injector.template" -}}
{{- $v := include "sallyport.sidecar.values" (dict "context" .) | fromYaml -}}
{{- $parts := dict "values" $v "name" .Release.Name -}}
{{- $container := include "sallyport.sidecar.container" $parts | fromYaml -}}
{{- if eq (int $v.service.port) 0 -}}
{{- $env := list -}}
{{- range $container.env }}{{ if ne .name "UPSTREAM" }}{{ $env = append $env . }}{{ end }}{{ end -}}
{{- $_ := set $container "env" $env -}}
{{- end -}}
{{- $volumes := list -}}
{{- range include "sallyport.sidecar.volumes" $parts | fromYamlArray }}{{ $volumes = append $volumes .volume }}{{ end -}}
{{- $template := dict "container" $container "volumes" $volumes "terminationGracePeriodSeconds" (add $v.shutdown.delaySeconds $v.shutdown.deadlineSeconds 10) -}}
{{- if and (gt (int $v.shutdown.delaySeconds) 0) (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) -}}
{{- $_ := set $template "preStop" (dict "sleep" (dict "seconds" $v.shutdown.delaySeconds)) -}}
{{- end -}}
{{- range $name := list "imagePullSecrets" "labels" "annotations" -}}
{{- with index $.Values.injected $name }}{{ $_ := set $template $name . }}{{ end -}}
{{- end -}}
{{- toYaml $template -}}
{{- end }}
