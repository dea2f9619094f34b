resource "helm_release" "acr" {
  name  = "acr"
  chart = "./chart"
  set {
    name  = "a"
    value = "b"
  }
}
