-- A new value of the annotation requests new credentials at once.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["acrcredential.dev/refresh-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
