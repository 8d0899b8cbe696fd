-- enqueue_plain stores new tasks that are ready at once and hold no unique key:
-- what almost all are. No two of them have the same id.
--
-- KEYS  1 ready  2 held  3 state  4 meta  5 watch, then the record of each message
--       that is an entry
-- ARGV  1 wake channel, then messages
-- Returns 1; or 0 and does nothing if an id is known, a record is not there or the
-- queue is not registered: then enqueue.lua tells more.

local state = KEYS[3]
if redis.call('EXISTS', KEYS[4]) == 0 then
  return 0
end
local sub = string.sub
local ids, states, n, apart = {}, {}, #ARGV, 5
for i = 2, n do
  local msg = ARGV[i]
  local id = sub(msg, 2, 17)
  ids[i - 1] = id
  states[2 * i - 3] = id
  states[2 * i - 2] = sub(msg, 26, 45) -- digest and inbox
  if #msg == 55 and string.byte(msg, 1) == 129 then
    apart = apart + 1
    if redis.call('GETRANGE', KEYS[apart], 25, 28) ~= sub(msg, 26, 29) then -- its digest
      return 0
    end
  end
end
local known = redis.call('HMGET', state, unpack(ids))
for i = 1, n - 1 do
  if known[i] then
    return 0
  end
end
local wake = table.remove(ARGV, 1)
push(KEYS[1], KEYS[2], KEYS[5], wake, ARGV, false)
redis.call('HSET', state, unpack(states))
for i = 6, apart do
  redis.call('PERSIST', KEYS[i]) -- not first: see dequeue.lua
end
return 1
