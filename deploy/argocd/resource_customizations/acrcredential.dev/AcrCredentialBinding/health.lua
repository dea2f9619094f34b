-- The status follows the conventions of kstatus: observedGeneration, and the conditions Ready, Reconciling and
-- Stalled. The last two exist only while they are True.
local hs = { status = "Progressing", message = "Waiting for the controller" }

local conditions = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    conditions[condition.type] = condition
  end
end

local ready = conditions["Ready"]
if ready == nil then
  return hs
end

-- A status of an older generation says nothing about the present spec.
if obj.status.observedGeneration ~= obj.metadata.generation then
  hs.message = "Waiting for the controller to observe generation " .. obj.metadata.generation
  return hs
end

hs.message = ready.message
if obj.metadata.deletionTimestamp ~= nil then
  return hs
end

-- Only a person ends these states, and nothing has failed.
if ready.reason == "Suspended" or ready.reason == "DryRun" then
  hs.status = "Suspended"
  return hs
end

local reconciling = conditions["Reconciling"]
if reconciling ~= nil and reconciling.status == "True" then
  hs.message = reconciling.message
  return hs
end

local stalled = conditions["Stalled"]
if stalled ~= nil and stalled.status == "True" then
  hs.status = "Degraded"
  hs.message = stalled.message
  return hs
end

if ready.status == "True" then
  hs.status = "Healthy"
end
return hs
