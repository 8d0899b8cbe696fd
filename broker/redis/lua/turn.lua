-- turn gives the next page of a namespace's registry to the caller, if the time of the last page
-- is over. So all processes that ask share the work, see round.go.
--
-- KEYS  1 registry  2 since  3 turn
-- ARGV  1 the time of a page in ms  2 about how many queues a page has
-- Returns in how many ms to ask again; then, if the caller has got a page, for each of its
-- queues the name, the number of partitions, and how many ms ago the queue was registered.

-- fields reads fields of a hash. A key of the wrong type is removed, since the hash can be made
-- anew.
local function fields(key, ...)
  local reply = redis.pcall('HMGET', key, ...)
  if not reply.err then
    return reply
  end
  redis.call('DEL', key)
  return redis.call('HMGET', key, ...)
end

local registry, since, turn, pause = KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1])
local t = now()
local last = fields(turn, 'at', 'cursor')
local left = (tonumber(last[1]) or 0) - t
if left > 0 and left <= pause then -- more than the pause means that the clock was set back
  return { left }
end
local page = redis.pcall('HSCAN', registry, last[2] or '0', 'COUNT', ARGV[2])
if page.err then -- the cursor is damaged: begin again
  page = redis.call('HSCAN', registry, '0', 'COUNT', ARGV[2])
end
redis.call('HSET', turn, 'at', t + pause, 'cursor', page[1])
redis.call('PEXPIRE', turn, 86400000)
local out, found = { pause }, page[2]
for from = 1, #found, 1000 do
  local names = {}
  for i = from, math.min(from + 998, #found), 2 do
    names[#names + 1] = found[i]
  end
  local times = fields(since, unpack(names))
  for i, name in ipairs(names) do
    local at = tonumber(times[i])
    if not at or not (at >= 0 and at <= t) then -- there is no time, or a damaged one: count from now on
      redis.call('HSET', since, name, t)
      at = t
    end
    out[#out + 1] = name
    out[#out + 1] = found[from + 2 * i - 1]
    out[#out + 1] = t - at
  end
end
return out
