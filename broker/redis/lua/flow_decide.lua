-- flow_decide decides whether the members of a flow may start, once.
--
-- KEYS  1 flow
-- ARGV  1 what is to be decided: 1 or 0  2 the mark of a flow that starts
--       3 the mark of one that does not
-- Returns what was decided, 1 or 0; -1 if there is no such flow.

local flow = KEYS[1]
if not kept(flow) then
  return -1
end
local v = redis.call('HMGET', flow, 'decided', 'killed', 'outcome')
if v[1] then
  return v[1] == ARGV[2] and 1 or 0
end
if v[2] or v[3] then
  return 0
end
redis.call('HSET', flow, 'decided', ARGV[1] == '1' and ARGV[2] or ARGV[3])
return tonumber(ARGV[1])
