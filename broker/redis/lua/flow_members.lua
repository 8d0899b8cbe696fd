-- flow_members reads consecutive members of a flow. It stops when the outcomes are large.
--
-- KEYS  1 flow  2 members  3 results
-- ARGV  1 position of the first member  2 whether outcomes are wanted (0, 1), then the
--       position of each member (4 bytes)
-- Returns false if there is no such flow, else the ids of the members in one text, and a list
-- that has for each member its state (1 byte) with its outcome, if that is wanted; or false
-- if it was not counted yet. There may be fewer members than asked for.

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
