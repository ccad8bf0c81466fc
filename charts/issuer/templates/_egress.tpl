{{- /* Rules of a NetworkPolicy that let out DNS and some of the peers in networkPolicy.egress. Takes context and peers. */ -}}
{{- define "sallyport.issuer.egress" -}}
{{- $egress := .context.Values.networkPolicy.egress -}}
- ports:
    - { protocol: UDP, port: 53 }
    - { protocol: TCP, port: 53 }
  {{- with $egress.dns }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- range .peers }}
{{- $peer := index $egress . }}
{{- $deployed := has . (include "sallyport.issuer.deployed" $.context | fromYamlArray) }}
- ports:
    - { protocol: TCP, port: {{ ternary (get (dict "mongodb" 27017 "redis" 6379 "kafka" 9092) .) $peer.port $deployed }} }
  {{- if $deployed }}
  to:
    - podSelector:
        matchLabels:
          {{- include "sallyport.issuer.storeSelectorLabels" (dict "context" $.context "store" .) | nindent 10 }}
  {{- else if $peer.to }}
  to:
    {{- toYaml $peer.to | nindent 4 }}
  {{- end }}
{{- end }}
{{- with $egress.additional }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The stores that are turned on. */ -}}
{{- define "sallyport.issuer.stores" -}}
{{- $stores := list -}}
{{- range list "mongodb" "redis" }}{{ if (index $.Values .).enabled }}{{ $stores = append $stores . }}{{ end }}{{ end -}}
{{- toYaml $stores -}}
{{- end }}

{{- /* What a running issuer speaks to. */ -}}
{{- define "sallyport.issuer.peers" -}}
{{- $peers := include "sallyport.issuer.stores" . | fromYamlArray -}}
{{- if .Values.kafka.enabled }}{{ $peers = append $peers "kafka" }}{{ end -}}
{{- if .Values.secrets.keys.smtpUrl }}{{ $peers = append $peers "smtp" }}{{ end -}}
{{- toYaml $peers -}}
{{- end }}
