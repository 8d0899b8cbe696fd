-- sweep forgets ended tasks of one retention class: it removes the states of those whose time is
-- over. It does so in steps; call it until it returns 0.
--
-- The list of a class has an element for each batch of tasks that has ended, oldest first. An
-- element is a time (6 bytes) and ids (16 each); or a time, 'r', and for each run (see block.lua)
-- the name of its block (15) and the position of its first member (1).
--
-- KEYS  1 keep  2 list of the class  3 state  4 dead  5 about  6 steps
-- ARGV  1 name of the class  2 about how many tasks to forget
-- Returns a list: 1 if there is more to forget now, else 0; how many were forgotten; in how
-- many ms there will be more to forget ('' if nothing is left).

-- readRun adds the ids of the members of a run to gone, and its field to runs. name is the name of the
-- block and the position of the first member.
local function readRun(state, name, gone, runs)
  local block = string.sub(name, 1, 15)
  local field = block .. 'r' .. string.sub(name, 16)
  local run = redis.call('HGET', state, field)
  local before = #gone
  if run then
    members(run, function(at)
      gone[#gone + 1] = block .. string.char(at)
    end)
  end
  if #gone > before then -- a run of another version stays
    runs[#runs + 1] = field
  end
end

-- forget removes the metadata and the last failures of tasks.
local function forget(about, ids)
  pages(ids, function(some)
    local fields = {}
    for _, id in ipairs(some) do
      fields[#fields + 1] = id
      fields[#fields + 1] = id .. 'f' -- usually removed when the task ended, but not by a minion of an older build
    end
    redis.call('HDEL', about, unpack(fields))
  end)
end

local keep, list, state, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local class, most = ARGV[1], tonumber(ARGV[2])
local t = now()
-- The name of a class has the minutes for which its tasks are remembered, or with an 's' seconds.
local length, unit = string.match(class, '^.(%d+)(s?)$')
local latest = t + (tonumber(length) or 0) * (unit == 's' and 1000 or 60000)
local n = 0
redis.call('ZREM', keep, '') -- for a server out of memory: see dequeue.lua
local room = 2000 -- how many steps may still be removed, so that the script stays short
local stepped = redis.call('EXISTS', KEYS[6]) == 1
local described = redis.call('EXISTS', KEYS[5]) == 1
while n < most do
  local blob = redis.call('LINDEX', list, 0)
  if not blob then
    redis.call('ZREM', keep, class)
    return { 0, n, '' }
  end
  local at = number(blob, 1, 6)
  if at > latest then
    -- The time is damaged. Move the element to the end, as if its tasks had ended just now, so
    -- that it does not keep the elements behind it from being swept.
    redis.call('RPUSH', list, big(latest, 6) .. string.sub(blob, 7))
    at, blob = 0, ''
  elseif at > t then
    redis.call('ZADD', keep, 'XX', at, class)
    return { 0, n, at - t }
  end
  local ids, gone, runs = {}, {}, {}
  if #blob % 16 == 7 and string.sub(blob, 7, 7) == 'r' then
    for i = 8, #blob, 16 do
      readRun(state, string.sub(blob, i, i + 15), gone, runs)
    end
  else
    for i = 7, #blob - 15, 16 do -- ignore a rest of fewer bytes than an id, which is damage
      ids[#ids + 1] = string.sub(blob, i, i + 15)
    end
  end
  if string.sub(class, 1, 1) == 'd' then
    -- A dead letter may have been requeued since. Then the task is open, or has ended again later
    -- and is in another element.
    local over = {}
    pages(ids, function(some)
      for i, s in ipairs(look(state, some)) do
        if not s or (#s ~= 20 and number(s, 22, 6) <= t) then -- over; or unreadable, since number takes missing bytes for 0
          over[#over + 1] = some[i]
        end
      end
    end)
    ids = over
  end
  if stepped then -- first, since a call that has removed much leaves the rest to the next one
    for _, ended in ipairs({ ids, gone }) do
      pages(ended, function(some)
        room = forgetSteps(KEYS[6], some, room)
      end)
    end
    if room < 0 then
      return { 1, math.max(n, 1), 0 }
    end
  end
  if string.sub(class, 1, 1) == 'd' then
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
  pages(runs, function(some)
    redis.call('HDEL', state, unpack(some))
  end)
  redis.call('LPOP', list)
  n = n + math.max(#ids + #gone, 1)
end
return { 1, n, 0 }
