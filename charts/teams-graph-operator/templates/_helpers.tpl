{{- define "operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Of at most 63 characters, 17 are left for what Kubernetes adds to a pod's name, and the chart to a Service's. */}}
{{- define "operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- else if contains (include "operator.name" .) .Release.Name -}}
{{- .Release.Name | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "operator.name" .) | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* For what lies outside of the release's namespace: there, releases of the same name must not meet. */}}
{{- define "operator.clusterName" -}}
{{ .Release.Namespace }}:{{ include "operator.fullname" . }}
{{- end -}}

{{- define "operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "operator.labels" -}}
{{ include "operator.selectorLabels" . }}
app.kubernetes.io/component: controller
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Whether nodes of Pexip are listened to: "true", or nothing. */}}
{{- define "operator.feeds" -}}
{{- if or .Values.feeds.events.enabled .Values.feeds.syslog.enabled -}}true{{- end -}}
{{- end -}}

{{- define "operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "operator.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the controller may do, in a ClusterRole or, with watchNamespace, in a Role. */}}
{{- define "operator.rules" -}}
# Every replica keeps the five kinds at hand. patch: finalizers. Specs are never written.
- apiGroups: [teamsgraph.dev]
  resources: [graphtenants, notificationreceivers, graphsubscriptions, presencesyncs, teamsconnectorhealths]
  verbs: [list, watch]
- apiGroups: [teamsgraph.dev]
  resources: [graphtenants, notificationreceivers, graphsubscriptions, presencesyncs]
  verbs: [patch]
# Read where another wrote it since: what Graph answered is to be written down all the same.
- apiGroups: [teamsgraph.dev]
  resources: [graphsubscriptions]
  verbs: [get]
# What is known about them.
- apiGroups: [teamsgraph.dev]
  resources: [graphtenants/status, notificationreceivers/status, graphsubscriptions/status, presencesyncs/status, teamsconnectorhealths/status]
  verbs: [patch]
# Owner of what is built for it, with blockOwnerDeletion: some clusters check this.
- apiGroups: [teamsgraph.dev]
  resources: [notificationreceivers/finalizers, presencesyncs/finalizers]
  verbs: [update]
# Secrets that objects name (credentials, tokens, certificates): read one by one, never listed, never changed.
# create: the keyring of a receiver, and of a presence worker its token and where Graph notifies it; each made once.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create]
# What receivers and presence workers are built of, by server-side apply where it differs. Its deletion takes them along.
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, create, patch]
# list, watch: the leader sees when their pods become ready.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch]
# delete: removed when the spec no longer asks for it.
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, create, patch, delete]
# allowedNamespaces selects by labels, and deletion ends in a namespace that goes.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
# What users read with kubectl describe. patch: the same event again.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
