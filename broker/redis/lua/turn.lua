-- turn gives the next page of a namespace's queues to whoever asks first after the
-- last page has had its time, so that all who ask share the work.
--
-- KEYS  1 registry  2 since  3 turn
-- ARGV  1 how long a page has, in ms  2 about how many queues a page has
-- Returns in how many ms to ask again, then for each queue of the page: its name, its
-- number of partitions, and for how many ms nobody has registered it.

-- fields reads fields of a hash. One of another type is removed: what is in there can be
-- made anew.
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
if left > 0 and left <= pause then -- more than that says that the clock was set back
  return { left }
end
local page = redis.pcall('HSCAN', registry, last[2] or '0', 'COUNT', ARGV[2])
if page.err then -- the cursor is damaged: from the beginning
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
    if not at or not (at >= 0 and at <= t) then -- nobody has noted it, or it is damaged: from now on
      redis.call('HSET', since, name, t)
      at = t
    end
    out[#out + 1] = name
    out[#out + 1] = found[from + 2 * i - 1]
    out[#out + 1] = t - at
  end
end
return out
