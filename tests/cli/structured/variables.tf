resource "alicloud_cs_kubernetes_addon" "pull" {
  name   = "managed-aliyun-acr-credential-helper"
  config = jsonencode({
    AcrInstanceInfo = [{
      instanceId = var.instance_id
      regionId   = "cn-hangzhou"
    }]
    watchNamespace = join(",", var.namespaces)
  })
}
