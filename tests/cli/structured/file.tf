resource "alicloud_cs_kubernetes_addon" "pull" {
  name   = "managed-aliyun-acr-credential-helper"
  config = file("${path.module}/acr.json")
}
