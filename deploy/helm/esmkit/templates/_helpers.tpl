{{- define "esmkit.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $long := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- default $long .Values.fullnameOverride | trunc 47 | trimSuffix "-" -}}
{{- end -}}

{{- define "esmkit.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "esmkit.labels" -}}
{{ include "esmkit.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "esmkit.image" -}}
{{- $build := .Values.gpu.enabled | ternary "cuda" "cpu" -}}
{{- $ray := eq .Values.mode "rayservice" | ternary "-ray" "" -}}
{{ .Values.image.repository }}:{{ default (printf "%s-%s%s" .Chart.AppVersion $build $ray) .Values.image.tag }}
{{- end -}}

{{- define "esmkit.serviceAccountName" -}}
{{- $own := .Values.serviceAccount.create | ternary (include "esmkit.fullname" .) "default" -}}
{{- default $own .Values.serviceAccount.name -}}
{{- end -}}

{{- /* The service that clients, ingress and Prometheus use; KubeRay makes that of a RayService, by this name. */ -}}
{{- define "esmkit.serviceName" -}}
{{ include "esmkit.fullname" . }}{{ eq .Values.mode "rayservice" | ternary "-serve-svc" "" }}
{{- end -}}

{{- define "esmkit.servicePort" -}}
{{ eq .Values.mode "rayservice" | ternary 8000 (int .Values.service.port) }}
{{- end -}}

{{- define "esmkit.scheme" -}}
{{ empty .Values.tls.existingSecret | ternary "http" "https" }}
{{- end -}}

{{- /* Settings as TOML; numbers, strings and lists are written as in JSON. */ -}}
{{- define "esmkit.toml" -}}
{{- range $name, $value := .Values.config -}}
{{ $name }} = {{ toJson $value }}
{{ end }}
{{- end -}}

{{- /* A change of the configuration makes new pods. */ -}}
{{- define "esmkit.annotations" -}}
checksum/config: {{ include "esmkit.toml" . | sha256sum }}
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "esmkit.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "esmkit.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "esmkit.env" -}}
- {name: ESMKIT_CONFIG, value: /etc/esmkit/esmkit.toml}
- {name: HOME, value: /tmp}
{{- range $setting, $key := .Values.secrets.settings }}
- {name: ESMKIT_{{ upper $setting }}_FILE, value: /run/secrets/esmkit/{{ $setting }}}
{{- end }}
{{- if .Values.tls.existingSecret }}
- {name: ESMKIT_SSL_CERTFILE, value: /run/secrets/tls/tls.crt}
- {name: ESMKIT_SSL_KEYFILE, value: /run/secrets/tls/tls.key}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "esmkit.volumeMounts" -}}
- {name: config, mountPath: /etc/esmkit, readOnly: true}
- {name: home, mountPath: /var/lib/esmkit}
- {name: tmp, mountPath: /tmp}
{{- if .Values.secrets.settings }}
- {name: secrets, mountPath: /run/secrets/esmkit, readOnly: true}
{{- end }}
{{- if .Values.tls.existingSecret }}
- {name: tls, mountPath: /run/secrets/tls, readOnly: true}
{{- end }}
{{- end -}}

{{- define "esmkit.volumes" -}}
- name: config
  configMap: {name: {{ include "esmkit.fullname" . }}}
- name: tmp
  emptyDir: {}
- name: home
{{- if .Values.persistence.enabled }}
  persistentVolumeClaim: {claimName: {{ default (include "esmkit.fullname" .) .Values.persistence.existingClaim }}}
{{- else }}
  emptyDir: {sizeLimit: {{ .Values.persistence.sizeLimit }}}
{{- end }}
{{- if .Values.secrets.settings }}
- name: secrets
  secret:
    secretName: {{ .Values.secrets.existingSecret }}
    defaultMode: 0440
    items:
    {{- range $setting, $key := .Values.secrets.settings }}
      - {key: {{ $key }}, path: {{ $setting }}}
    {{- end }}
{{- end }}
{{- if .Values.tls.existingSecret }}
- name: tls
  secret: {secretName: {{ .Values.tls.existingSecret }}, defaultMode: 0440}
{{- end }}
{{- end -}}

{{- /* "true" if the volume of this chart can be used on one node only. */ -}}
{{- define "esmkit.oneNode" -}}
{{- $own := and .Values.persistence.enabled (not .Values.persistence.existingClaim) -}}
{{- and $own (not (has "ReadWriteMany" .Values.persistence.accessModes)) | ternary "true" "" -}}
{{- end -}}

{{- /* Several pods at a time take turns: whoever comes second finds the models there. */ -}}
{{- define "esmkit.pullModels" -}}
{{- if .Values.pullModels }}
initContainers:
{{- range .Values.config.models }}
  - name: pull-{{ . | lower | replace "_" "-" | replace "/" "-" | replace "." "-" | trunc 50 | trimSuffix "-" }}
    image: {{ include "esmkit.image" $ }}
    imagePullPolicy: {{ $.Values.image.pullPolicy }}
    command: [esmkit, models, pull, {{ . | quote }}]
    env:
      - {name: ESMKIT_OFFLINE, value: "0"}
      - {name: HOME, value: /tmp}
    resources:
      requests: {cpu: 250m, memory: 512Mi}
      limits: {memory: 1Gi}
    securityContext:
      {{- include "esmkit.containerSecurity" $ | nindent 6 }}
    volumeMounts:
      - {name: home, mountPath: /var/lib/esmkit}
      - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Where pods go: needs the context and the node's own selector and tolerations. */ -}}
{{- define "esmkit.scheduling" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .Values.tolerations .Values.gpu.enabled }}
tolerations:
  {{- if .Values.gpu.enabled }}
  - {key: {{ .Values.gpu.resource }}, operator: Exists, effect: NoSchedule}
  {{- end }}
  {{- with .Values.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "esmkit.resources" -}}
{{- $gpu := .Values.gpu.enabled | ternary (dict "limits" (dict .Values.gpu.resource (int .Values.gpu.count))) (dict) -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.resources) $gpu) -}}
{{- end -}}
