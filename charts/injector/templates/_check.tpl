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
{{- if and (eq $v.tls.mode "generated") (gt (mul 2 (int $v.tls.generated.days)) (int64 $v.tls.generated.authorityDays)) -}}
{{- $problems = append $problems "tls.generated.days: has to be at most half of tls.generated.authorityDays, for what an authority signs does not outlive it" -}}
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
{{- $policy := default dict $v.sidecar.networkPolicy -}}
{{- if $policy.additional -}}
{{- $problems = append $problems "sidecar.networkPolicy.additional: each Pod has another port for its service, which such a rule could open; write a NetworkPolicy of your own for these Pods" -}}
{{- end -}}
{{- if and (eq (toString $v.sidecar.isolation) "networkPolicy") (not $v.injected.namespaces) -}}
{{- $problems = append $problems "sidecar.isolation: networkPolicy needs injected.namespaces: elsewhere there is no policy" -}}
{{- end -}}
{{- if and $v.injected.namespaces (hasKey $policy "enabled") (not $policy.enabled) -}}
{{- $problems = append $problems "sidecar.networkPolicy.enabled: is needed with injected.namespaces, which are those that have one" -}}
{{- end -}}
{{- if and (not $v.webhook.optOut) (eq $v.webhook.failurePolicy "Ignore") -}}
{{- $problems = append $problems "webhook.failurePolicy: Ignore lets Pods do without the sidecar while no injector answers; with webhook.optOut off it has to be Fail" -}}
{{- end -}}
{{- range $name, $map := dict "labels" $v.injected.labels "annotations" $v.injected.annotations -}}
{{- range $key, $_ := $map -}}
{{- if hasPrefix "sallyport/" $key }}{{ $problems = append $problems (printf "injected.%s: %s is for Pods to say, or for the injector" $name $key) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $own := dict "volumes" (list "tls" "template" "client-ca") "containers" (list "injector") "elsewhere" "other values make it" -}}
{{- $problems = concat $problems (include "sallyport.injector.extraProblems" (set $own "context" .) | fromYamlArray) -}}
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
