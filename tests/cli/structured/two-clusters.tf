resource "alicloud_cs_kubernetes_addon" "a" {
  provider = alicloud.a
  name   = "managed-aliyun-acr-credential-helper"
  config = jsonencode({ AcrInstanceInfo = [{ instanceId = "cri-aaaaaaaaaaaaaaaa" }] })
}
resource "alicloud_cs_kubernetes_addon" "b" {
  provider = alicloud.b
  name   = "managed-aliyun-acr-credential-helper"
  config = jsonencode({ AcrInstanceInfo = [{ instanceId = "cri-bbbbbbbbbbbbbbbb" }] })
}
