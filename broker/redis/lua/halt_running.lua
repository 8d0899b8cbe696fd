-- halt_running finds the members and callbacks of some flows that a minion holds. It leaves out
-- finalizers, and members that were counted before and have been requeued since.
--
-- KEYS  1 flows  2 flight  3 claim
-- ARGV  ids of flows
-- Returns the ids of the tasks.

local ids, out = redis.call('HKEYS', KEYS[2]), {}
-- If the minion has left, the key claim is its fence, which is no list: see leave.lua.
if redis.call('TYPE', KEYS[3]).ok == 'list' then
  for _, msg in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do
    if readable(msg) then
      ids[#ids + 1] = string.sub(msg, 2, 17)
    end
  end
end
local asked = {}
for _, flow in ipairs(ARGV) do
  asked[flow] = true
end
pages(ids, function(some)
  for i, ref in ipairs(redis.call('HMGET', KEYS[1], unpack(some))) do
    if ref and #ref >= 20 and asked[string.sub(ref, 1, 16)] and string.sub(ref, 17, 20) ~= '\255\255\255\254' then
      out[#out + 1] = some[i]
    end
  end
end)
return out
