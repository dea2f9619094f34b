locals {
  region = "cn-hangzhou" # where we are
  acr = {
    "AcrInstanceInfo" : [{ "InstanceId" : "cri-k3v9w2m7q1x8abcd", "regionId" : local.region }],
    watchNamespace : "shop, shop-jobs"
  }
}

/* all add-ons */
resource "alicloud_cs_kubernetes_addon" "this" {
  name    = "managed-aliyun-acr-credential-helper"
  config  = jsonencode(local.acr)
}
