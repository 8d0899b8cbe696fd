-- locate finds out where open tasks are. It must look into the hash of each minion, and a
-- script in a cluster may only use keys that it is given, so the caller names all minions.
--
-- KEYS  1 due  2 later  3 minions  4 state  5 about, then flight and claim of each minion of
--       ARGV
-- ARGV  1 number of minions, then their ids, then how many bytes of a message contain head
--       and name of the task, then ids of tasks
-- Returns false and the ids of all minions if one of them is not among those of ARGV: call
-- again. Else returns a list with a list for each task:
--   'later', when it is due in ms, head and name of its message
--   'running', its minion, head and name of its message
--   'ready', '', ''
--   'done', if it has become final since its state was read
-- A task that has failed before has the record of its last failure as the fourth element.

local due, later, minions, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local about = KEYS[5]
local count = tonumber(ARGV[1])
local known = {}
for i = 1, count do
  known[ARGV[1 + i]] = true
end
local members = redis.call('ZRANGE', minions, 0, -1)
for _, m in ipairs(members) do
  if not known[m] then
    return { false, members }
  end
end
local within = tonumber(ARGV[count + 2])
local ids = {}
for i = count + 3, #ARGV do
  ids[#ids + 1] = ARGV[i]
end

-- front returns the beginning of a message: head, lane if there is one, and name.
local function front(msg)
  local lane = (string.byte(msg, 25) or 0) >= 128 and 2 + number(msg, 55, 2) or 0 -- FlagLaned
  return string.sub(msg, 1, within + lane)
end

local found = {}
local owned = owners(ids, 5, count)
for k, id in ipairs(ids) do
  local by = owned[id]
  if by then
    found[k] = { 'running', ARGV[1 + by.by], front(by.msg) }
  else
    local msg = redis.call('HGET', later, id)
    if msg then
      found[k] = { 'later', redis.call('ZSCORE', due, id) or '', front(msg) }
    else
      local s = look(state, { id })[1]
      found[k] = s and #s == 20 and { 'ready', '', '' } or { 'done' }
    end
  end
end
if redis.call('EXISTS', about) == 1 then
  local fields = {}
  for k, id in ipairs(ids) do
    fields[k] = id .. 'f'
  end
  for k, failure in ipairs(redis.call('HMGET', about, unpack(fields))) do
    if failure and found[k][1] ~= 'done' then
      found[k][4] = failure
    end
  end
end
return { found }
