local actions = {
  refresh = { disabled = true },
  suspend = { disabled = true },
  resume = { disabled = true },
}

-- A binding that is being deleted accepts nothing.
if obj.metadata.deletionTimestamp ~= nil then
  return actions
end

local suspended = obj.spec.suspend == true
actions.refresh.disabled = suspended

-- The controller reverts each edit of a binding that it made from a ConfigMap.
local labels = obj.metadata.labels or {}
if labels["acrcredential.dev/converted"] ~= "true" then
  actions.suspend.disabled = suspended
  actions.resume.disabled = not suspended
end

return actions
