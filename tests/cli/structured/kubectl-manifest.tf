resource "kubectl_manifest" "acr" {
  yaml_body = <<YAML
apiVersion: v1
kind: ConfigMap
metadata:
  name: acr-configuration
  namespace: kube-system
data:
  service-account: "*"
  watch-namespace: shop
  acr-registry-info: |
    - instanceId: cri-k3v9w2m7q1x8abcd
      regionId: CN-Hangzhou
YAML
}
