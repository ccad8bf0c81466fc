{{- /* What a schema can't say. Everything that is wrong is told at once, by the name of its field. */ -}}
{{- define "sallyport.issuer.check" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- $embedded := include "sallyport.issuer.embedded" . -}}
{{- if and (not $v.secrets.existingSecret) (not $v.secrets.externalSecret.enabled) -}}
{{- $problems = append $problems "secrets.existingSecret: name the Secret with MASTER_KEY and FEED_TOKEN, or turn secrets.externalSecret.enabled on" -}}
{{- end -}}
{{- if and $v.secrets.existingSecret $v.secrets.externalSecret.enabled -}}
{{- $problems = append $problems "secrets.existingSecret: not together with secrets.externalSecret.enabled" -}}
{{- end -}}
{{- if $v.secrets.externalSecret.enabled -}}
{{- if not $v.secrets.externalSecret.storeRef.name -}}{{- $problems = append $problems "secrets.externalSecret.storeRef.name: is needed" -}}{{- end -}}
{{- if not $v.secrets.externalSecret.remoteKey -}}{{- $problems = append $problems "secrets.externalSecret.remoteKey: is needed" -}}{{- end -}}
{{- end -}}
{{- if and $embedded (gt (int $v.replicaCount) 1) -}}
{{- $problems = append $problems "replicaCount: more than one needs mongodb.enabled and redis.enabled: a file can't be shared" -}}
{{- end -}}
{{- if and $embedded $v.autoscaling.enabled -}}
{{- $problems = append $problems "autoscaling.enabled: needs mongodb.enabled and redis.enabled: a file can't be shared" -}}
{{- end -}}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) -}}
{{- $problems = append $problems "autoscaling.minReplicas: has to be at most autoscaling.maxReplicas" -}}
{{- end -}}
{{- if and (or $v.mongodb.enabled $v.redis.enabled) (not $v.secrets.keys.masterKey) -}}
{{- $problems = append $problems "secrets.keys.masterKey: is needed with mongodb.enabled or redis.enabled" -}}
{{- end -}}
{{- if and $v.mongodb.enabled (not $v.mongodb.url) (not $v.secrets.keys.mongoUrl) (not $v.mongodb.deploy.enabled) -}}
{{- $problems = append $problems "mongodb.url: is needed, or secrets.keys.mongoUrl" -}}
{{- end -}}
{{- if and $v.redis.enabled (not $v.redis.url) (not $v.secrets.keys.redisUrl) (not $v.redis.deploy.enabled) -}}
{{- $problems = append $problems "redis.url: is needed, or secrets.keys.redisUrl" -}}
{{- end -}}
{{- if and (not $v.kafka.enabled) (not $v.secrets.keys.feedToken) -}}
{{- $problems = append $problems "secrets.keys.feedToken: is needed without kafka.enabled: sidecars have to have a feed" -}}
{{- end -}}
{{- if and $v.kafka.enabled (not $v.kafka.brokers) (not $v.kafka.deploy.enabled) -}}
{{- $problems = append $problems "kafka.brokers: is needed with kafka.enabled" -}}
{{- end -}}
{{- if and $v.kafka.ca (not $v.kafka.tls) -}}
{{- $problems = append $problems "kafka.ca: has a meaning only with kafka.tls" -}}
{{- end -}}
{{- with $v.kafka.sasl -}}
{{- if and .mechanism (or (not .username) (not $v.secrets.keys.kafkaPassword)) -}}
{{- $problems = append $problems "kafka.sasl.mechanism: needs kafka.sasl.username and secrets.keys.kafkaPassword" -}}
{{- end -}}
{{- if and (eq .mechanism "plain") (not $v.kafka.tls) -}}
{{- $problems = append $problems "kafka.sasl.mechanism: plain needs kafka.tls, for it sends the password as it is" -}}
{{- end -}}
{{- end -}}
{{- if $v.kafka.strimziTopic.enabled -}}
{{- if not $v.kafka.enabled -}}{{- $problems = append $problems "kafka.strimziTopic.enabled: needs kafka.enabled" -}}{{- end -}}
{{- if not $v.kafka.strimziTopic.cluster -}}{{- $problems = append $problems "kafka.strimziTopic.cluster: is needed" -}}{{- end -}}
{{- end -}}
{{- range $name := list "mongodb" "redis" "kafka" -}}
{{- $ca := (index $v $name).ca -}}
{{- if and $ca.configMap $ca.secret -}}
{{- $problems = append $problems (printf "%s.ca: either configMap or secret" $name) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $v.migration.mode "job") $embedded -}}
{{- $problems = append $problems "migration.mode: job needs mongodb.enabled and redis.enabled: nobody else can open the volume" -}}
{{- end -}}
{{- if and (eq $v.migration.mode "job") $v.secrets.externalSecret.enabled -}}
{{- $problems = append $problems "migration.mode: job runs before the ExternalSecret is there; use init, or secrets.existingSecret" -}}
{{- end -}}
{{- $problems = concat $problems (include "sallyport.issuer.deployProblems" . | fromYamlArray) -}}
{{- $problems = concat $problems (include "sallyport.issuer.egressProblems" . | fromYamlArray) -}}
{{- $own := dict "volumes" (list "data" "tmp" "secrets" "stores" "tls" "mongo-ca" "redis-ca" "kafka-ca") "containers" (list "issuer" "migrate") "elsewhere" "it goes under settings or secrets, or other values make it" -}}
{{- $problems = concat $problems (include "sallyport.issuer.extraProblems" (set $own "context" .) | fromYamlArray) -}}
{{- if and $v.ingress.enabled (not $v.ingress.host) -}}
{{- $problems = append $problems "ingress.host: is needed with ingress.enabled" -}}
{{- end -}}
{{- range $path := $v.ingress.paths -}}
{{- range $inside := list "/metrics" "/livez" "/readyz" "/health" "/revocations" -}}
{{- if or (hasPrefix (trimSuffix "/" $path) $inside) (hasPrefix (printf "%s/" $inside) $path) -}}
{{- $problems = append $problems (printf "ingress.paths: %s would make %s public" $path $inside) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (ne $v.service.type "ClusterIP") (not (and $v.networkPolicy.enabled $v.networkPolicy.from)) -}}
{{- $problems = append $problems (printf "networkPolicy.from: is needed with service.type %s, which publishes /metrics and the feed as well" $v.service.type) -}}
{{- end -}}
{{- if and $v.settings.REQUIRE_VERIFIED_EMAIL (not $v.secrets.keys.smtpUrl) -}}
{{- if has (toString $v.settings.REQUIRE_VERIFIED_EMAIL) (list "on" "true") -}}
{{- $problems = append $problems "secrets.keys.smtpUrl: is needed with settings.REQUIRE_VERIFIED_EMAIL" -}}
{{- end -}}
{{- end -}}
{{- if and $v.secrets.keys.smtpUrl (not $v.settings.MAIL_FROM) -}}
{{- $problems = append $problems "settings.MAIL_FROM: is needed with secrets.keys.smtpUrl" -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nThese values are wrong:\n- %s\n" (join "\n- " $problems)) -}}
{{- end -}}
{{- end }}

{{- /* What does not go with stores that the chart runs itself. */ -}}
{{- define "sallyport.issuer.deployProblems" -}}
{{- $v := .Values -}}
{{- $problems := list -}}
{{- range $store, $address := dict "mongodb" "url" "redis" "url" "kafka" "brokers" -}}
{{- $part := index $v $store -}}
{{- if $part.deploy.enabled -}}
{{- if not $part.enabled }}{{ $problems = append $problems (printf "%s.deploy.enabled: needs %s.enabled" $store $store) }}{{ end -}}
{{- if index $part $address }}{{ $problems = append $problems (printf "%s.%s: not together with %s.deploy.enabled" $store $address $store) }}{{ end -}}
{{- if $part.ca }}{{ $problems = append $problems (printf "%s.ca: not together with %s.deploy.enabled, which has no TLS" $store $store) }}{{ end -}}
{{- if eq $v.migration.mode "job" }}{{ $problems = append $problems (printf "migration.mode: job runs before the store of %s.deploy.enabled is there; use init" $store) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if $v.kafka.deploy.enabled -}}
{{- if or $v.kafka.tls $v.kafka.sasl.mechanism }}{{ $problems = append $problems "kafka.deploy.enabled: has neither TLS nor a login; leave out kafka.tls and kafka.sasl.mechanism" }}{{ end -}}
{{- if $v.kafka.strimziTopic.enabled }}{{ $problems = append $problems "kafka.strimziTopic.enabled: not together with kafka.deploy.enabled" }}{{ end -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end }}

{{- /* Addresses that the NetworkPolicy does not let out to: the issuer would wait for them without a word of why. */ -}}
{{- define "sallyport.issuer.egressProblems" -}}
{{- $v := .Values -}}
{{- $egress := $v.networkPolicy.egress -}}
{{- $problems := list -}}
{{- $more := list -}}
{{- $all := false -}}
{{- range $egress.additional -}}
{{- if not .ports }}{{ $all = true }}{{ end -}}
{{- range .ports -}}
{{- /* A name, a range or none: what that lets out is not reckoned here. */ -}}
{{- if or .endPort (not (regexMatch "^[0-9]+$" (toString .port))) }}{{ $all = true }}{{ else }}{{ $more = append $more (int .port) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled $egress.enabled (not $all) -}}
{{- range $store, $field := dict "mongodb" "url" "redis" "url" "kafka" "brokers" -}}
{{- $part := index $v $store -}}
{{- $address := index $part $field -}}
{{- /* mongodb+srv has its ports in DNS. */ -}}
{{- if and $part.enabled $address (not (hasPrefix "mongodb+srv:" (toString $address))) -}}
{{- $let := int (index $egress $store).port -}}
{{- $hosts := ternary (join "," $address) (toString $address) (kindIs "slice" $address) -}}
{{- $hosts = regexReplaceAllLiteral "^[a-z]+://" $hosts "" -}}
{{- range $host := regexReplaceAllLiteral "[/?].*$" $hosts "" | splitList "," -}}
{{- $port := ternary (regexFind "[0-9]+$" $host) (get (dict "mongodb" "27017" "redis" "6379" "kafka" "9092") $store) (regexMatch ":[0-9]+$" $host) | int -}}
{{- if not (has $port (append $more $let)) -}}
{{- $problems = append $problems (printf "networkPolicy.egress.%s.port: %d is let out, and %s.%s has %d" $store $let $store $field $port) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml (uniq $problems) -}}
{{- end }}
