-- flow_open stores a flow, or more of its members.
--
-- KEYS  1 flow  2 members
-- ARGV  1 record  2 place of the first member  3 ids of the members, one behind
--       the other  4 how many members there are to be  5 for how many ms it is kept
--       without a change  6 the same while members are missing and none has arrived
-- Returns 1; 0 if it is another flow with the same id, or a place has another
-- member; -1 if members before these are missing.

local flow, members = KEYS[1], KEYS[2]
local record, from, ids = ARGV[1], tonumber(ARGV[2]), ARGV[3]
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
-- Calls may be repeated, and come later than others: less than there was is no change.
local whole = math.max(listed, from + #ids / 16) >= tonumber(ARGV[4])
if not whole and old then
  local v = redis.call('HMGET', flow, 'ok', 'bad')
  whole = (v[1] or v[2]) and true or false
end
local keep = whole and ARGV[5] or ARGV[6]
redis.call('SETRANGE', members, from * 16, ids)
redis.call('PEXPIRE', members, keep)
redis.call('HSET', flow, 'flow', record)
redis.call('PEXPIRE', flow, keep)
return 1
