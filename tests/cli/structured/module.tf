module "ack" {
  source = "terraform-alicloud-modules/managed-kubernetes/alicloud"
  cluster_addons = concat(var.base, [
    { name = "arms-prometheus", config = "" },
    { "config" = "{\"AcrInstanceInfo\":[{\"instanceId\":\"cri-k3v9w2m7q1x8abcd\",\"regionId\":\"cn-hangzhou\"}],\"watchNamespace\":\"all\"}", "name" = "managed-aliyun-acr-credential-helper" },
  ])
}
