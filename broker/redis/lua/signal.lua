-- signal gives a task a signal, and makes the task due if it waits for it; see steps.lua.
--
-- KEYS  1 state  2 due  3 later  4 ready  5 watch  6 steps
-- ARGV  1 wake channel  2 id of the task  3 name of the signal  4 id of the signal, length of the
--       codec's name and that name  5 data  6 how many records a task may have  7 how many bytes
-- Returns 0 if the task is unknown, 1 if it has the signal, 3 if it is final, 4 if it has another
-- signal of that name; the state of the task if that can't be read; or what saveRecord returns.

local state, due, later, ready, watch, steps = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local id, name = ARGV[2], ARGV[3]
local t = now()
local s = look(state, { id })[1]
if not s then
  return 0
end
if #s < 20 then
  return s
end
if #s > 20 then
  return number(s, 22, 6) > t and 3 or 0
end
local old = redis.call('HGET', steps, id .. 'g' .. name)
if old then
  return string.sub(old, 2, 17) == string.sub(ARGV[4], 1, 16) and 1 or 4
end
-- The last write of saveRecord is not the last one of this script. If the server refuses it, since it is
-- out of memory, nothing was changed; the writes behind it need no more memory.
local why = saveRecord(steps, id, 'g' .. name, string.char(STEPS_VERSION) .. ARGV[4] .. ARGV[5], #ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]))
if why then
  return why
end
local awaited = redis.call('HGET', steps, id .. 'w')
local msg = awaited and string.sub(awaited, 5) == name and redis.call('HGET', later, id)
if msg and string.sub(msg, 18, 21) == string.sub(awaited, 1, 4) then
  local at = redis.call('ZSCORE', due, id)
  if at and scoreOf(at) > t then
    redis.call('ZADD', due, 'XX', t, id)
    nudge(ready, watch, ARGV[1])
  end
end
return 1
