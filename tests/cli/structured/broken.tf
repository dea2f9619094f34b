resource "alicloud_cs_kubernetes_addon" "a" {
  name   = "managed-aliyun-acr-credential-helper"
  config = jsonencode({ AcrInstanceInfo = [{ instanceId = "cri-aaaaaaaaaaaaaaaa" }]
}
