-- flow_open stores a flow, or more of its members.
--
-- KEYS  1 flow  2 members
-- ARGV  1 record  2 place of the first member  3 ids of the members, one behind
--       the other  4 for how many ms it is kept without a change
-- Returns 1; 0 if it is another flow with the same id, or a place has another
-- member; -1 if members before these are missing.

local flow, members = KEYS[1], KEYS[2]
local record, from, ids, keep = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local old = redis.call('HGET', flow, 'flow')
if old and old ~= record then
  return 0
end
if redis.call('HEXISTS', flow, 'outcome') == 1 then
  return 1
end
local listed = redis.call('STRLEN', members) / 16
if from > listed or not old and from > 0 then
  return -1
end
local both = math.min(#ids, (listed - from) * 16)
if both > 0 and redis.call('GETRANGE', members, from * 16, from * 16 + both - 1) ~= string.sub(ids, 1, both) then
  return 0
end
redis.call('SETRANGE', members, from * 16, ids)
redis.call('PEXPIRE', members, keep)
redis.call('HSET', flow, 'flow', record)
redis.call('PEXPIRE', flow, keep)
return 1
