-- enqueue_plain stores new tasks that are ready at once and have no unique key, deadline or
-- flow, as almost all tasks. It is a fast path: if anything is unusual it does nothing, and
-- the caller uses enqueue.lua. No two of the tasks have the same id.
--
-- KEYS  1 ready  2 held  3 state  4 meta  5 watch, then the record of each large task, then
--       about if a task has metadata
-- ARGV  1 wake channel  2 number of fields of state, then these, each as name and value: of a
--       task (see status.lua) or of a block of tasks (see block.lua); then the messages. The
--       number is 0 if each task has a field of its own, which the script then makes. Then,
--       if a task has metadata, where that is: see about.lua.
-- Returns 1; or 0 if it has done nothing, since a field exists, a record does not exist or
-- the queue is not registered; or 2 if it has done nothing, since the queue has a bound.

local about, metas = metadata()
local state, fields = KEYS[3], tonumber(ARGV[2])
local meta = redis.call('GET', KEYS[4])
if not meta then
  return 0
elseif string.byte(meta, 1) == 98 then -- 'b': see waiting.lua
  return 2
end
local first = 3 + 2 * fields -- message
local names, states = {}, { unpack(ARGV, 3, first - 1) }
for i = 1, fields do
  names[i] = states[2 * i - 1]
end
if fields == 0 then
  for i = first, #ARGV do
    names[i - 2] = string.sub(ARGV[i], 2, 17)
    states[2 * i - 5] = names[i - 2]
    states[2 * i - 4] = string.sub(ARGV[i], 26, 45) -- digest and inbox
  end
end
local known = redis.call('HMGET', state, unpack(names))
for i = 1, #names do
  if known[i] then
    return 0
  end
end
if #KEYS > 5 then
  local large = 5
  for i = first, #ARGV do
    local msg = ARGV[i]
    if isStub(msg) then
      large = large + 1
      if redis.call('GETRANGE', KEYS[large], 25, 28) ~= string.sub(msg, 26, 29) then -- its digest
        return 0
      end
    end
  end
end
push(KEYS[1], KEYS[2], KEYS[5], ARGV[1], ARGV, false, first)
redis.call('HSET', state, unpack(states))
if about then
  describe(about, metas, function(i) return ARGV[first + i - 1] end)
end
for i = 6, #KEYS do
  redis.call('PERSIST', KEYS[i]) -- not as the first write: see dequeue.lua
end
return 1
