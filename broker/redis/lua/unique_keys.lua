-- unique_keys returns the states of unique keys, and frees the keys if it is asked to.
--
-- KEYS  1 unique  2 holders  3 state  4 later  5 due  6 ready  7 held  8 watch  9-17 the keys of
--       lanes, then the window of each key
-- ARGV  1 wake channel  2 whether to free the keys (0, 1), then the keys
-- Returns a list with four values for each key: the id of the task that has it ('' if nobody
-- has), the id of the task that waits behind it (''), since when it has it in ms (0 if it has
-- ended), and the end of the windows in ms (0).

local unique, holders, state = KEYS[1], KEYS[2], KEYS[3]
local k = keyNames(unique, holders, KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], ARGV[1], laneKeys(9, KEYS[4]))
local free = ARGV[2] == '1'
local t = now()
local out = {}
for i = 3, #ARGV do
  local key, window = ARGV[i], KEYS[15 + i]
  local holder, next, since, ends = '', '', 0, 0
  ends, holder = windowOf(window, t)
  local entry = redis.call('HGET', unique, key)
  local s = entry and look(state, { string.sub(entry, 1, 16) })[1]
  local v
  if s and #s <= 20 then
    holder, since = string.sub(entry, 1, 16), number(entry, 17, 6)
    v = redis.call('HGET', holders, holder)
    next = v and string.sub(v, 1, 1) == '=' and string.sub(v, 2, 17) ~= NOBODY and string.sub(v, 2, 17) or ''
  end
  if free then
    local passed = next ~= '' and promote(k, key, next, 0, t)
    if entry and not passed then
      redis.call('HDEL', unique, key)
    end
    if v then
      redis.call('HDEL', holders, holder)
    end
    local own, name = 0, ''
    if passed then -- its own window stays
      own, name = number(redis.call('HGET', holders, next), 18, 6), string.sub(redis.call('HGET', unique, key), 24)
    end
    setWindow(window, own, next, name, t)
  end
  out[#out + 1] = holder or ''
  out[#out + 1] = next
  out[#out + 1] = string.format('%.0f', since)
  out[#out + 1] = string.format('%.0f', ends)
end
return out
