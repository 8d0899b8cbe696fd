-- flow_members reads members of a flow.
--
-- KEYS  1 flow  2 members  3 results
-- ARGV  1 place of the first one  2 whether outcomes are asked for, 1 or 0, then the
--       places (4 bytes) of all
-- Returns false if there is no such flow, else the ids, one behind the other, and
-- for each place its state and, if asked for, its outcome, or false; fewer than
-- asked for where they are large.

if not kept(KEYS[1]) then
  return false
end
local from = tonumber(ARGV[1])
local outcomes = ARGV[2] == '1'
local results, bytes, at = {}, 0, 3
while at <= #ARGV and bytes < 4194304 do
  local to = math.min(at + 49, #ARGV)
  for _, v in ipairs(redis.call('HMGET', KEYS[3], unpack(ARGV, at, to))) do
    if v and not outcomes then
      v = string.sub(v, 1, 1)
    end
    results[#results + 1] = v
    bytes = bytes + (v and #v or 0)
  end
  at = to + 1
end
return { redis.call('GETRANGE', KEYS[2], from * 16, (from + #results) * 16 - 1), results }
