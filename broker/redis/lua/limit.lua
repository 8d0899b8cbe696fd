-- limit changes a definition of a limit, closes or opens a limit, sets a weight, or resumes a halted
-- sequence. Then it opens the first lines that wait for each limit that is concerned. Each task that
-- is handed out opens the next line.
--
-- KEYS  1 ready  2 held  3 watch  4 later  5 meta  6-14 the keys of lanes
-- ARGV  1 wake channel  2 what: define, remove, close, weigh, resume or open  3 the name of the limit
--       with its key, each with its length in front; of weigh the key; of resume the sequence;
--       of open the limit at which the last call has stopped  4 define: the definition; close:
--       for how many ms, 0 opens; weigh: the weight, 1 removes it; open: the limit of the first call
-- Returns false if the queue is not registered: nothing was done; register it and call again. Else
-- '' if it is done; the limit at which it has stopped, after which to call it again with open; or
-- 0 if the sequence is not halted.

if redis.call('EXISTS', KEYS[5]) == 0 then
  return false
end
local L = laneKeys(6, KEYS[4])
local what, use, value = ARGV[2], ARGV[3], ARGV[4]
local all = use -- the limit, or the beginning of the names of all limits that are concerned
local from = '[' .. use
if what == 'define' then
  redis.call('HSET', L.limits, 'd' .. use, value)
  if string.byte(use, #use) ~= 0 or #use ~= 2 + string.byte(use, 1) then
    redis.call('HSET', L.limits, 'x', '')
  end
elseif what == 'remove' then
  redis.call('HDEL', L.limits, 'd' .. use)
  -- 'x' stays although the last definition for a single key may be gone: it only costs a look-up.
  if redis.call('HLEN', L.limits) == redis.call('HEXISTS', L.limits, 'x') + redis.call('HEXISTS', L.limits, 'y') then
    redis.call('DEL', L.limits)
  end
elseif what == 'close' then
  if value == '0' then
    redis.call('ZREM', L.rates, 'c' .. use)
  else
    local till = now() + tonumber(value)
    redis.call('ZADD', L.rates, text(till * 1000), 'c' .. use)
    redis.call('ZADD', L.opening, text(till), use)
  end
elseif what == 'weigh' then
  if value == '1' then
    redis.call('HDEL', L.limits, 'w' .. use)
    if redis.call('HLEN', L.limits) == redis.call('HEXISTS', L.limits, 'x') + redis.call('HEXISTS', L.limits, 'y') then
      redis.call('DEL', L.limits)
    end
  else
    redis.call('HSET', L.limits, 'w' .. use, value, 'y', '')
  end
  return ''
elseif what == 'resume' then
  local holder = redis.call('HGET', L.charges, use)
  if not holder or string.sub(holder, 1, 1) ~= '!' then
    return 0
  end
  redis.call('HDEL', L.charges, use)
else -- open
  all, from = value, '(' .. use .. '\255'
end
if string.byte(all, #all) == 0 and #all == string.byte(all, 1) + 2 and string.byte(all, 1) > 0 then
  all = string.sub(all, 1, -2) -- a definition for all keys
  if what ~= 'open' then
    from = '[' .. all
  end
end
for i = 1, 500 do
  local at = redis.call('ZRANGEBYLEX', L.waits, from, '[' .. all .. '\255\255\255', 'LIMIT', 0, 1)[1]
  if not at then
    break
  end
  local name = string.byte(at, 1)
  local one = string.sub(at, 1, 2 + name + string.byte(at, 2 + name))
  for _ = 1, 20 do -- usually more than one may start
    if not wakeLine(L, one) then
      break
    end
  end
  from = '(' .. one .. '\255'
  use = one
  if i == 500 then
    nudge(KEYS[1], KEYS[3], ARGV[1])
    return use
  end
end
if redis.call('EXISTS', L.keys) == 1 then
  nudge(KEYS[1], KEYS[3], ARGV[1])
end
return ''
