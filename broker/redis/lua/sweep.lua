-- sweep forgets tasks of one class of retention whose time is over. It goes in
-- steps; call it until it returns 0.
--
-- KEYS  1 keep  2 list of the class  3 state  4 dead  5 about
-- ARGV  1 name of the class  2 about how many tasks it forgets
-- An element of the list is a time (6) and ids (16 each); or a time, 'r' and for each
-- run its block (15) and the place of its first member.
-- Returns 1 if there is more to forget now, how many were forgotten, and in how many
-- ms there will be more to forget ('' if nothing is left).

-- forgetRun forgets a run, of which it gets the block and the place of its first member.
-- It adds its members to gone.
local function forgetRun(state, name, gone)
  local block = string.sub(name, 1, 15)
  local field = block .. 'r' .. string.sub(name, 16)
  local run = redis.call('HGET', state, field)
  local before = #gone
  if run then
    members(run, function(at)
      gone[#gone + 1] = block .. string.char(at)
    end)
  end
  if #gone > before then -- one of another version is left alone
    redis.call('HDEL', state, field)
  end
end

-- forget removes what is told of tasks.
local function forget(about, ids)
  pages(ids, function(some)
    local fields = {}
    for _, id in ipairs(some) do
      fields[#fields + 1] = id
      fields[#fields + 1] = id .. 'f' -- it went with the end, unless an older minion settled
    end
    redis.call('HDEL', about, unpack(fields))
  end)
end

local keep, list, state, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local class, most = ARGV[1], tonumber(ARGV[2])
local t = now()
-- Its name has its minutes, or seconds where there is an s.
local length, unit = string.match(class, '^.(%d+)(s?)$')
local latest = t + (tonumber(length) or 0) * (unit == 's' and 1000 or 60000)
local n = 0
redis.call('ZREM', keep, '') -- see dequeue.lua
local described = redis.call('EXISTS', KEYS[5]) == 1
while n < most do
  local blob = redis.call('LINDEX', list, 0)
  if not blob then
    redis.call('ZREM', keep, class)
    return { 0, n, '' }
  end
  local at = number(blob, 1, 6)
  if at > latest then
    -- The time is damaged. What is named here stays for as long as if it had just ended,
    -- and does not keep what stands behind it.
    redis.call('RPUSH', list, big(latest, 6) .. string.sub(blob, 7))
    at, blob = 0, ''
  elseif at > t then
    redis.call('ZADD', keep, 'XX', at, class)
    return { 0, n, at - t }
  end
  local ids, gone = {}, {}
  if #blob % 16 == 7 and string.sub(blob, 7, 7) == 'r' then
    for i = 8, #blob, 16 do
      forgetRun(state, string.sub(blob, i, i + 15), gone)
    end
  else
    for i = 7, #blob - 15, 16 do -- a rest is damaged: no id is that short
      ids[#ids + 1] = string.sub(blob, i, i + 15)
    end
  end
  if string.sub(class, 1, 1) == 'd' then
    -- A dead letter may have been requeued since, and be alive, or done again.
    local over = {}
    pages(ids, function(some)
      for i, s in ipairs(look(state, some)) do
        if not s or (#s ~= 20 and number(s, 22, 6) <= t) then -- also if it is too short to be read
          over[#over + 1] = some[i]
        end
      end
    end)
    ids = over
    pages(ids, function(some)
      redis.call('HDEL', dead, unpack(some))
    end)
  end
  pages(ids, function(some)
    redis.call('HDEL', state, unpack(some))
    mark(state, some, NONE, OWN)
  end)
  pages(gone, function(some)
    mark(state, some, NONE, HERE)
  end)
  if described then
    forget(KEYS[5], ids)
    forget(KEYS[5], gone)
  end
  redis.call('LPOP', list)
  n = n + math.max(#ids + #gone, 1)
end
return { 1, n, 0 }
