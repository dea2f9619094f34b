resource "alicloud_cs_managed_kubernetes" "k8s" {
  name = "k8s"
  addons {
    name = "terway-eniip"
  }
  addons {
    name   = "managed-aliyun-acr-credential-helper"
    config = <<-EOT
      {
        "AcrInstanceInfo": [
          {"instanceId": "cri-k3v9w2m7q1x8abcd", "regionId": "CN-Hangzhou"}
        ],
        "watchNamespace": "all"
      }
    EOT
  }
  addons {
    name   = "alb-ingress-controller"
    config = "{\"albIngress\":{}}"
  }
}
