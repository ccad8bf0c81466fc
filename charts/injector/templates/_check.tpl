{{- /* What a schema can't say. Everything that is wrong is told at once, by the name of its field. */ -}}
{{- define "sallyport.injector.check" -}}
{{- $v := .Values -}}
{{- $problems := list -}}
{{- if and (eq $v.tls.mode "existing") (not $v.tls.existing.secretName) -}}
{{- $problems = append $problems "tls.existing.secretName: is needed with tls.mode existing" -}}
{{- end -}}
{{- if and (eq $v.tls.mode "generated") (ge (int $v.tls.generated.renewAfterDays) (int $v.tls.generated.days)) -}}
{{- $problems = append $problems "tls.generated.renewAfterDays: has to be less than tls.generated.days" -}}
{{- end -}}
{{- if and (eq $v.tls.mode "generated") (gt (int $v.tls.generated.days) (int $v.tls.generated.authorityDays)) -}}
{{- $problems = append $problems "tls.generated.days: has to be at most tls.generated.authorityDays" -}}
{{- end -}}
{{- if eq (int $v.port) (int $v.admin.port) -}}
{{- $problems = append $problems "admin.port: has to be another than port" -}}
{{- end -}}
{{- if and $v.podMonitor.enabled $v.networkPolicy.enabled (not $v.networkPolicy.metricsFrom) -}}
{{- $problems = append $problems "networkPolicy.metricsFrom: is needed with podMonitor.enabled: who Prometheus is" -}}
{{- end -}}
{{- if has .Release.Namespace $v.injected.namespaces -}}
{{- $problems = append $problems (printf "injected.namespaces: %s is the injector's own, where nothing is injected" .Release.Namespace) -}}
{{- end -}}
{{- if has "kube-system" $v.injected.namespaces -}}
{{- $problems = append $problems "injected.namespaces: nothing is injected in kube-system" -}}
{{- end -}}
{{- range $v.webhook.excludedNamespaces -}}
{{- if has . $v.injected.namespaces -}}
{{- $problems = append $problems (printf "injected.namespaces: %s is among webhook.excludedNamespaces" .) -}}
{{- end -}}
{{- end -}}
{{- if and $v.injected.ports (not $v.injected.namespaces) -}}
{{- $problems = append $problems "injected.ports: has a meaning only with injected.namespaces" -}}
{{- end -}}
{{- if $v.sidecar.routes -}}
{{- $problems = append $problems "sidecar.routes: there is no ConfigMap of rules in every namespace; name one by sidecar.routesConfigMap, or by the annotation sallyport/routes of each Pod" -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nThese values are wrong:\n- %s\n" (join "\n- " $problems)) -}}
{{- end -}}
{{- /* What else the library chart refuses. Which port a service has is for each Pod to say. */ -}}
{{- $sidecar := include "sallyport.sidecar.values" (dict "context" .) | fromYaml -}}
{{- if eq (int $sidecar.service.port) 0 }}{{ $_ := set $sidecar.service "port" (first (without (list 1 2 3) (int $sidecar.port) (int $sidecar.admin.port))) }}{{ end -}}
{{- include "sallyport.sidecar.check" (dict "context" . "values" $sidecar "pod" (dict "spec" (dict "containers" list))) -}}
{{- end }}
