-- flow_open stores a flow with its first members, or adds members to it. A repeated call changes
-- nothing.
--
-- KEYS  1 flow  2 members
-- ARGV  1 record of the flow  2 position of the first member  3 ids of the members in one
--       text  4 how many members the flow has in all  5 for how many ms the flow is kept
--       without a change  6 the same while members are missing and none was counted
-- Returns 1; or 0 if there is another flow with the same id, or another member at one of the
-- positions; or -1 if members before these are missing.

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
-- A repeated call may come after later members were added, and must not shorten the time for
-- which the flow is kept. So the flow is whole if all members are listed by now.
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
