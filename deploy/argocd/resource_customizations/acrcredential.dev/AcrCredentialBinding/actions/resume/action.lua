local labels = obj.metadata.labels or {}
if labels["acrcredential.dev/converted"] == "true" then
  local annotations = obj.metadata.annotations or {}
  local source = annotations["acrcredential.dev/converted-from"] or "its ConfigMap"
  error("the controller reverts this edit, since " .. source .. " is authoritative: annotate the ConfigMap with " ..
    "acrcredential.dev/authoritative=false first", 0)
end
obj.spec.suspend = false
return obj
