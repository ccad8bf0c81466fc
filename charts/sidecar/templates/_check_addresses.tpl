{{- /*
Variables and arguments that look as if they told a service to listen on every address. A guess, for no template knows what
a program does; what it lets through is the NetworkPolicy's to stop. Takes container and guarded (ports).
*/ -}}
{{- define "sallyport.sidecar.addressProblems" -}}
{{- $container := .container -}}
{{- $found := list -}}
{{- range $container.env -}}
{{- $value := toString (default "" .value) -}}
{{- $listens := and (regexMatch `(?i)(HOST|ADDR|ADDRESS|BIND|LISTEN|INTERFACE)$` .name) (not (regexMatch `(?i)ALLOW|CORS|ORIGIN|TRUST` .name)) -}}
{{- $text := ternary (printf "host=%s" $value) $value $listens -}}
{{- if include "sallyport.sidecar.everyAddress" (dict "text" $text "guarded" $.guarded) }}{{ $found = append $found (printf "env %s: %s" .name $value) }}{{ end -}}
{{- $field := dig "valueFrom" "fieldRef" "fieldPath" "" . -}}
{{- if and (hasPrefix "status.podIP" $field) (regexMatch `(?i)BIND|LISTEN|INTERFACE|^(SERVER_)?(HOST|ADDR|ADDRESS)$` .name) }}{{ $found = append $found (printf "env %s: %s" .name $field) }}{{ end -}}
{{- end -}}
{{- $before := "" -}}
{{- range concat (default list $container.command) (default list $container.args) -}}
{{- $option := ternary $before "" (regexMatch `^--?[A-Za-z-]+$` $before) -}}
{{- if include "sallyport.sidecar.everyAddress" (dict "text" (printf "%s %v" $option . | trim) "guarded" $.guarded) }}{{ $found = append $found (printf "args: %v" .) }}{{ end -}}
{{- $before = toString . -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{- /* Whether a text has every address in it, without a port or with a guarded one. Takes text and guarded. */ -}}
{{- define "sallyport.sidecar.everyAddress" -}}
{{- $ports := printf `(%s)` (join "|" .guarded) -}}
{{- $end := printf `($|[^0-9.:/]|/($|[^0-9])|:%s($|[^0-9])|:[^0-9])` $ports -}}
{{- $patterns := list (printf `(^|[^0-9.])0\.0\.0\.0%s` $end) -}}
{{- $patterns = append $patterns (printf `\[(::0?|(0:){7}0)\]%s` $end) -}}
{{- $patterns = append $patterns `(^|[\s=/,;'"@])(::0?|(0:){7}0)($|[\s,;'"]|/($|[^0-9]))` -}}
{{- $patterns = append $patterns (printf `(^|[\s=/,;'"])[*+]?:%s($|[\s/,;'"])` $ports) -}}
{{- $patterns = append $patterns (printf `\$\([A-Z_]*POD_IPS?\):%s` $ports) -}}
{{- $patterns = append $patterns (printf `(?i)(^|\s)-{0,2}((http|server|listen|bind|web|app)[-_.]?)?(host|addr|address|bind|listen|interface)[= ]['"]?(\*|0)(:%s)?($|[\s'"])` $ports) -}}
{{- if regexMatch (join "|" $patterns) .text }}true{{ end -}}
{{- end }}
