-- beat extends a minion's lease in some queues of one hash slot, and returns the housekeeping
-- that there is to do in each of them.
--
-- KEYS  for each queue: 1 minions  2 watch  3 ready  4 held  5 due  6 stop
--       7 keep  8 flight  9 claim  10 outbox  11 parked  12 deadlines  13 opening (see lane.lua)
-- ARGV  1 minion  2 lease in ms  3 whether it listens to wake channels (0, 1)
-- Returns the server's time, then for each queue one of these:
--   false    the minion is not registered there, and nothing was done
--   a text   an error: the lease could not be extended. An error in one queue, such as a key
--            of the wrong type, does not stop the others.
--   a list   1 when the next task is due, '' if none is  2 whether tasks are ready (0, 1)
--            3 how many tasks the minion holds  4 minions whose leases have ended, at most 10
--            5 retention classes to sweep, at most 10  6 ids of tasks that the minion holds
--            and that were cancelled  7 whether there are arrivals (0, 1)  8 whether tasks
--            are parked (0, 1)  9 the error of a key that could not be read, '' if there was
--            none  10 the first deadline of a waiting task, '' if there is none

local minion, lease = ARGV[1], tonumber(ARGV[2])
local t = now()

-- renew extends the lease in one queue. It returns false if the minion is not registered there.
local function renew(minions)
  local score = redis.call('ZSCORE', minions, minion)
  if not score or scoreOf(score) < 0 then
    return false
  end
  -- ZREM of nothing, so that a lease can be extended on a server out of memory: see dequeue.lua.
  redis.call('ZREM', minions, '')
  redis.call('ZADD', minions, 'XX', t + lease, minion)
  if tonumber(score) <= t then -- it had ended, and no other minion has acted on that
    spare(minions, t, math.floor(lease / 2))
  end
  return true
end

local wrong -- the first error in the current queue

-- ask calls a command and returns its reply, or the value otherwise if the command fails.
local function ask(otherwise, ...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    wrong = wrong or reply.err
    return otherwise
  end
  return reply
end

local out = { t }
for k = 1, #KEYS, 13 do
  local minions, watch, ready, held, due, stop, keep, flight, claim =
    KEYS[k], KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4], KEYS[k + 5], KEYS[k + 6], KEYS[k + 7], KEYS[k + 8]
  local fine, registered = pcall(renew, minions)
  if fine and not registered then
    out[#out + 1] = false
  elseif not fine then
    out[#out + 1] = type(registered) == 'table' and registered.err or tostring(registered)
  else
    wrong = nil
    if ARGV[3] == '1' then
      ask(nil, 'ZADD', watch, t + lease, minion)
    end
    local canceled = {}
    if redis.call('EXISTS', stop) == 1 then
      -- Intersect the set stop with the flight hash, from the smaller one of the two.
      if ask(0, 'SCARD', stop) <= ask(0, 'HLEN', flight) then
        for _, id in ipairs(ask({}, 'SMEMBERS', stop)) do
          if redis.call('HEXISTS', flight, id) == 1 then
            canceled[#canceled + 1] = id
          end
        end
      else
        pages(ask({}, 'HKEYS', flight), function(ids)
          for i, is in ipairs(ask({}, 'SMISMEMBER', stop, unpack(ids))) do
            if is == 1 then
              canceled[#canceled + 1] = ids[i]
            end
          end
        end)
      end
      for _, msg in ipairs(ask({}, 'LRANGE', claim, 0, -1)) do
        local id = string.sub(msg, 2, 17)
        if ask(0, 'SISMEMBER', stop, id) == 1 then
          canceled[#canceled + 1] = id
        end
      end
    end
    local limit = ask({}, 'ZRANGE', KEYS[k + 11], 0, 0, 'WITHSCORES')[2] or ''
    local soon = ask({}, 'ZRANGE', due, 0, 0, 'WITHSCORES')[2] or ''
    local line = ask({}, 'ZRANGE', KEYS[k + 12], 0, 0, 'WITHSCORES')[2] -- a line that waits for a time
    if line and (soon == '' or scoreOf(line) < scoreOf(soon)) then
      soon = line
    end
    out[#out + 1] = {
      soon,
      redis.call('EXISTS', ready, held) > 0 and 1 or 0,
      ask(0, 'HLEN', flight) + ask(0, 'LLEN', claim),
      redis.call('ZRANGEBYSCORE', minions, '-inf', t, 'LIMIT', 0, 10),
      ask({}, 'ZRANGEBYSCORE', keep, '-inf', t, 'LIMIT', 0, 10),
      canceled,
      redis.call('EXISTS', KEYS[k + 9]),
      redis.call('EXISTS', KEYS[k + 10]),
      wrong or '',
      limit,
    }
  end
end
return out
