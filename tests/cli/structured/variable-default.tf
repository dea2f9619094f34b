variable "acr" {
  default = "{\"AcrInstanceInfo\":[{\"instanceId\":\"cri-k3v9w2m7q1x8abcd\"}]}"
}

resource "alicloud_cs_kubernetes_addon" "pull" {
  name   = "managed-aliyun-acr-credential-helper"
  config = var.acr
}
