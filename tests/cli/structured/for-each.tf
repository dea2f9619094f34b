resource "alicloud_cs_kubernetes_addon" "x" {
  for_each = {
    "managed-aliyun-acr-credential-helper" = jsonencode({ AcrInstanceInfo = [{ instanceId = "cri-k3v9w2m7q1x8abcd" }], watchNamespace = "ALL" })
    "alb-ingress-controller" = "{}"
  }
  name = each.key
  config = each.value
}
