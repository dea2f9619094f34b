addons {
  name = "aliyun-acr-credential-helper"
  config = "{\"tokenMode\":\"auto\"}"
}
