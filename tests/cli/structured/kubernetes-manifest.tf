resource "kubernetes_manifest" "acr" {
  manifest = {
    apiVersion = "v1"
    kind       = "ConfigMap"
    metadata = {
      name      = "acr-configuration"
      namespace = "kube-system"
    }
    data = {
      service-account   = "*"
      watch-namespace   = "shop"
      acr-registry-info = yamlencode([{ instanceId = "cri-k3v9w2m7q1x8abcd", regionId = "CN-Hangzhou" }])
      rrsa = yamlencode({ enable = true })
    }
  }
}
