{{- /*
A workload with the sidecar in it, and what belongs to it: the routes, the NetworkPolicy, the PodMonitor. One include, so
that none of them can be forgotten.
  context   the chart's own `.`
  workload  the name of a template that renders your Deployment, StatefulSet or DaemonSet
  values    what differs from .Values.sidecar for this workload
*/ -}}
{{- define "sallyport.sidecar.workload" -}}
{{- $workload := include "sallyport.sidecar.document" (dict "context" .context "template" .workload) | fromYaml -}}
{{- if not (has $workload.kind (list "Deployment" "StatefulSet" "DaemonSet")) }}{{ fail (printf "%s: a Deployment, StatefulSet or DaemonSet is needed, this is %v" .workload $workload.kind) }}{{ end -}}
{{- $parts := dict "context" .context "values" (include "sallyport.sidecar.values" . | fromYaml) "name" $workload.metadata.name "namespace" (default "" $workload.metadata.namespace) "label" (include "sallyport.sidecar.label" $workload.metadata.name) "pod" $workload.spec.template "claims" $workload.spec.volumeClaimTemplates -}}
{{- $_ := include "sallyport.sidecar.check" $parts -}}
{{- $_ := set $workload.spec "template" (include "sallyport.sidecar.podTemplate" $parts | fromYaml) -}}
{{- toYaml $workload }}
{{- include "sallyport.sidecar.routes" $parts }}
{{- include "sallyport.sidecar.networkPolicy" $parts }}
{{- include "sallyport.sidecar.podMonitor" $parts }}
{{- end }}

{{- /*
A Service before the sidecar: ports without a targetPort get the sidecar's, and one that leads to the service is refused.
  context, values  as above
  service          the name of a template that renders your Service
*/ -}}
{{- define "sallyport.sidecar.service" -}}
{{- $service := include "sallyport.sidecar.document" (dict "context" .context "template" .service) | fromYaml -}}
{{- if ne $service.kind "Service" }}{{ fail (printf "%s: a Service is needed, this is %v" .service $service.kind) }}{{ end -}}
{{- $v := include "sallyport.sidecar.values" . | fromYaml -}}
{{- range $service.spec.ports -}}
{{- $target := default $v.port .targetPort -}}
{{- if or (not (regexMatch "^[0-9]+$" (toString $target))) (has (toString $target) (include "sallyport.sidecar.guardedPorts" $v | splitList ",")) -}}
{{- fail (printf "\n\nThese values are wrong:\n- Service %s, targetPort: %v would lead around the sidecar; leave it out, or name the number of another port\n" $service.metadata.name $target) -}}
{{- end -}}
{{- if eq (int $target) (int $v.admin.port) -}}
{{- fail (printf "\n\nThese values are wrong:\n- Service %s, targetPort: %v is the sidecar's admin port, which is nobody's but the kubelet's and Prometheus'\n" $service.metadata.name $target) -}}
{{- end -}}
{{- $_ := set . "targetPort" (int $target) -}}
{{- end -}}
{{- toYaml $service -}}
{{- end }}

{{- /* The text of a template that renders one object. Takes context and template. */ -}}
{{- define "sallyport.sidecar.document" -}}
{{- $text := include .template .context | trim | trimPrefix "---" -}}
{{- if regexMatch "(?m)^---" $text }}{{ fail (printf "%s: one document is needed; put others into templates of their own" .template) }}{{ end -}}
{{- with (fromYaml $text).Error }}{{ fail (printf "%s is not YAML: %s" $.template .) }}{{ end -}}
{{- $text -}}
{{- end }}

{{- /* The values, with `native` settled for this cluster. */ -}}
{{- define "sallyport.sidecar.values" -}}
{{- $v := mergeOverwrite (deepCopy .context.Values.sidecar) (deepCopy (default dict .values)) -}}
{{- $can := semverCompare ">=1.29-0" .context.Capabilities.KubeVersion.Version -}}
{{- if and (eq (toString $v.native) "always") (not $can) -}}
{{- fail (printf "\n\nThese values are wrong:\n- sidecar.native: always needs Kubernetes 1.29, this is %s\n" .context.Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if eq (toString $v.native) "auto" }}{{ $_ := set $v "native" (ternary "always" "never" $can) }}{{ end -}}
{{- $_ := set $v "global" (default dict .context.Values.global) -}}
{{- toYaml $v -}}
{{- end }}

{{- define "sallyport.sidecar.podTemplate" -}}
{{- $v := .values -}}
{{- $pod := .pod -}}
{{- $spec := $pod.spec -}}
{{- $metadata := default dict $pod.metadata -}}
{{- $_ := set $pod "metadata" $metadata -}}
{{- $_ := set $metadata "labels" (merge (dict "sallyport/sidecar" .label) (default dict $metadata.labels)) -}}
{{- $annotations := default dict $metadata.annotations -}}
{{- if and $v.routes (eq $v.onRoutesChange "restart") }}{{ $_ := set $annotations "sallyport/checksum-routes" (toYaml $v.routes | sha256sum) }}{{ end -}}
{{- if eq $v.native "never" -}}
{{- /* What `kubectl logs` and `exec` mean without a name: not the sidecar. */ -}}
{{- if not (hasKey $annotations "kubectl.kubernetes.io/default-container") }}{{ $_ := set $annotations "kubectl.kubernetes.io/default-container" (first $spec.containers).name }}{{ end -}}
{{- end -}}
{{- if $annotations }}{{ $_ := set $metadata "annotations" $annotations }}{{ end -}}
{{- if and (gt (int $v.shutdown.delaySeconds) 0) (semverCompare ">=1.30-0" .context.Capabilities.KubeVersion.Version) -}}
{{- range $spec.containers -}}
{{- $lifecycle := default dict .lifecycle -}}
{{- if not $lifecycle.preStop }}{{ $_ := set . "lifecycle" (set $lifecycle "preStop" (dict "sleep" (dict "seconds" $v.shutdown.delaySeconds))) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $container := include "sallyport.sidecar.container" . | fromYaml -}}
{{- if eq $v.native "always" -}}
{{- $_ := set $spec "initContainers" (append (default list $spec.initContainers) $container) -}}
{{- else -}}
{{- $_ := set $spec "containers" (append $spec.containers $container) -}}
{{- end -}}
{{- $volumes := default list $spec.volumes -}}
{{- range include "sallyport.sidecar.volumes" . | fromYamlArray }}{{ $volumes = append $volumes .volume }}{{ end -}}
{{- $_ := set $spec "volumes" $volumes -}}
{{- $_ := set $spec "terminationGracePeriodSeconds" (max (int (default 0 $spec.terminationGracePeriodSeconds)) (add $v.shutdown.delaySeconds $v.shutdown.deadlineSeconds 10)) -}}
{{- toYaml $pod -}}
{{- end }}

{{- /* A workload's name as a label: one of its own also where the name is too long for a label. */ -}}
{{- define "sallyport.sidecar.label" -}}
{{- if le (len .) 63 }}{{ . }}{{ else }}{{ printf "%s-%s" (trunc 54 . | trimAll "-.") (sha256sum . | trunc 8) }}{{ end -}}
{{- end }}

{{- define "sallyport.sidecar.labels" -}}
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
app.kubernetes.io/component: sidecar
app.kubernetes.io/part-of: sallyport
{{- end }}

{{- define "sallyport.sidecar.routes" -}}
{{- if .values.routes }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .name }}-sallyport
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "sallyport.sidecar.labels" . | nindent 4 }}
data:
  routes.yaml: |
    {{- toYaml (dict "routes" .values.routes) | nindent 4 }}
{{- end }}
{{- end }}

{{- define "sallyport.sidecar.networkPolicy" -}}
{{- $policy := .values.networkPolicy -}}
{{- if $policy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}-sallyport
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "sallyport.sidecar.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      sallyport/sidecar: {{ .label }}
  policyTypes: [Ingress]
  ingress:
    - ports:
        - { protocol: TCP, port: {{ .values.port }} }
      {{- with $policy.from }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- with $policy.metricsFrom }}
    - ports:
        - { protocol: TCP, port: {{ $.values.admin.port }} }
      from:
        {{- toYaml . | nindent 8 }}
    {{- end }}
    {{- with $policy.additional }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
{{- end }}

{{- define "sallyport.sidecar.podMonitor" -}}
{{- with .values.podMonitor }}
{{- if .enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ $.name }}-sallyport
  {{- with $.namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "sallyport.sidecar.labels" $ | nindent 4 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      sallyport/sidecar: {{ $.label }}
  podMetricsEndpoints:
    - port: sallyport-admin
      path: /metrics
      interval: {{ .interval }}
{{- end }}
{{- end }}
{{- end }}
