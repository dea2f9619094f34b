addons = {
  managed-aliyun-acr-credential-helper = {
    config = <<EOT
AcrInstanceInfo:
  - instanceId: cri-k3v9w2m7q1x8abcd
    regionId: cn-hangzhou
watchNamespace: all
EOT
  }
  "alb-ingress-controller" = { config = "{}" }
}
