{{- /* What head and workers share. */ -}}
{{- define "esmkit.rayMetadata" -}}
{{- $context := index . 0 -}}
labels:
  {{- include "esmkit.labels" $context | nindent 2 }}
  app.kubernetes.io/component: {{ index . 1 }}
  {{- with $context.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  {{- include "esmkit.annotations" $context | nindent 2 }}
{{- end -}}

{{- define "esmkit.rayContainer" -}}
image: {{ include "esmkit.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  {{- include "esmkit.env" . | nindent 2 }}
  - {name: RAY_USAGE_STATS_ENABLED, value: "0"}
securityContext:
  {{- include "esmkit.containerSecurity" . | nindent 2 }}
volumeMounts:
  {{- include "esmkit.volumeMounts" . | nindent 2 }}
{{- end -}}

{{- /* KubeRay's own probes call wget, which the image does not have. */ -}}
{{- define "esmkit.rayProbe" -}}
httpGet: {path: {{ .path }}, port: {{ .port }}}
initialDelaySeconds: 10
periodSeconds: 5
timeoutSeconds: 5
failureThreshold: {{ .failures }}
{{- end -}}
