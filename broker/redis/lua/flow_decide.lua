-- flow_decide stores whether the members of a squad start. The first decision stays, so that all
-- callers get the same answer. A flow that was killed or has ended does not start.
--
-- KEYS  1 flow
-- ARGV  1 the decision that the caller wants: 1 start, 0 do not  2 the mark of a flow that
--       starts  3 the mark of one that does not
-- Returns the decision that counts, 1 or 0; -1 if there is no such flow.

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
