-- flow_members reads members of a flow.
--
-- KEYS  1 flow  2 members  3 results
-- ARGV  1 place of the first one, then the places (4 bytes) of all
-- Returns false if there is no such flow, else the ids, one behind the other, and
-- for each place its state and outcome, or false; fewer than asked for where they
-- are large.

if not kept(KEYS[1]) then
  return false
end
local from = tonumber(ARGV[1])
local results, bytes, at = {}, 0, 2
while at <= #ARGV and bytes < 4194304 do
  local to = math.min(at + 49, #ARGV)
  for _, v in ipairs(redis.call('HMGET', KEYS[3], unpack(ARGV, at, to))) do
    results[#results + 1] = v
    bytes = bytes + (v and #v or 0)
  end
  at = to + 1
end
return { redis.call('GETRANGE', KEYS[2], from * 16, (from + #results) * 16 - 1), results }
