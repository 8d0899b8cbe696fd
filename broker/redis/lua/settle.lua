-- settle ends attempts of one minion at tasks of one queue.
--
-- KEYS  1 flight  2 claim  3 minions  4 state  5 due  6 later  7 dead  8 unique
--       9 stop  10 keep  11 ready  12 held  13 watch  14 odd  15 flows
--       16 outbox, then the list of each class of retention that ARGV speaks of
-- ARGV  1 minion  2 wake channel  3 number of groups, then for each group
--         verb (finish, retry, snooze, release)
--         a: finish: state; retry, snooze: delay in ms; release: 0
--         class of retention, as index of its key
--         name of that class
--         ms for which the outcome can be read
--         ms until it is swept
--         inbox channel ('' for none)
--         number of tasks
--         for each: attempt (4 bytes), length (2) and unique key, id (16),
--         length (4) and outcome; one behind the other
--         number of tasks to be submitted with the only task of the group, then
--         for each: id and record
--       The outcome of a task that is not finished is the one it gets if it was
--       cancelled meanwhile. A class that starts with d keeps dead letters.
-- Returns a list: in how many ms the next task is due ('' if not known), how many
-- arrivals it made, then the place (from 1, over all groups) of each task that
-- the minion did not own.

local flight, claim, minions, state, due, later, dead, unique, stop, keep, ready, held, watch, odd, flows, outbox =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8],
  KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16]
local minion, wake, groups = ARGV[1], ARGV[2], tonumber(ARGV[3])

local sub = string.sub

redis.call('HDEL', flight, '') -- see dequeue.lua: goes on when out of memory

local lease = redis.call('ZSCORE', minions, minion)
local owner = lease and tonumber(lease) >= 0
if owner then
  absorb(claim, flight, odd)
end
local t = now()
local stopping = redis.call('EXISTS', stop) == 1
local flowing = redis.call('EXISTS', flows) == 1
local reply = { '', 0 }
local done = {} -- id -> attempt
local place, at = 0, 4

-- Of the tasks of the group at hand.
local items, ids, attempts, keys, froms, tos, msgs

-- outcome returns the outcome of a task, with its length in front.
local function outcome(i)
  return sub(items, froms[i] + 16, tos[i])
end

-- finish writes a final state for some tasks of the group, tells the inbox, and
-- keeps track of when to forget them.
local function finish(final, list, class, readms, sweepms, inbox, which)
  local n = #which
  if n == 0 then
    return
  end
  local mark = string.char(final) .. big(t + readms, 6)
  local states, letters, forget = {}, {}, { big(t + sweepms, 6) }
  for x = 1, n do
    local i = which[x]
    states[2 * x - 1] = ids[i]
    states[2 * x] = sub(msgs[i], 26, 45) .. mark .. attempts[i] .. (readms > 0 and outcome(i) or '')
    letters[x] = sub(items, froms[i], tos[i])
    forget[x + 1] = ids[i]
  end
  redis.call('HSET', state, unpack(states))
  redis.call('RPUSH', list, table.concat(forget))
  redis.call('ZADD', keep, 'NX', t + sweepms, class)
  if sub(class, 1, 1) == 'd' then
    local pairs = {}
    for _, i in ipairs(which) do
      pairs[#pairs + 1] = ids[i]
      pairs[#pairs + 1] = msgs[i]
    end
    redis.call('HSET', dead, unpack(pairs))
  end
  for x = 1, n do
    local key = keys[which[x]]
    if key ~= '' and redis.call('HGET', unique, key) == ids[which[x]] then
      redis.call('HDEL', unique, key)
    end
  end
  if flowing then
    local final = {}
    for x, i in ipairs(which) do
      final[x] = { id = ids[i], outcome = outcome(i) }
    end
    reply[2] = reply[2] + arrive(flows, outbox, final)
  end
  if inbox ~= '' then
    redis.call('PUBLISH', inbox, table.concat(letters))
  end
end

for _ = 1, groups do
  local verb, a, list, class = ARGV[at], tonumber(ARGV[at + 1]), KEYS[tonumber(ARGV[at + 2])], ARGV[at + 3]
  local readms, sweepms, inbox, n = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), ARGV[at + 6], tonumber(ARGV[at + 7])
  at = at + 8

  -- Check everything.
  items, ids, attempts, keys, froms, tos = ARGV[at], {}, {}, {}, {}, {}
  local from = 1
  for i = 1, n do
    local hi, lo = string.byte(items, from + 4, from + 5)
    local key = from + 6
    local id = key + hi * 256 + lo
    local a3, a2, a1, a0 = string.byte(items, id + 16, id + 19)
    local to = id + 19 + ((a3 * 256 + a2) * 256 + a1) * 256 + a0
    attempts[i] = sub(items, from, from + 3)
    keys[i] = key < id and sub(items, key, id - 1) or ''
    ids[i] = sub(items, id, id + 15)
    froms[i], tos[i] = id, to
    from = to + 1
  end
  msgs = redis.call('HMGET', flight, unpack(ids))
  local is = verb ~= 'finish' and stopping and redis.call('SMISMEMBER', stop, unpack(ids))
  local owned, canceled, settled = {}, {}, {}
  for i = 1, n do
    local id, attempt, msg = ids[i], attempts[i], msgs[i]
    if owner and msg and not done[id] and sub(msg, 18, 21) == attempt then
      done[id] = attempt
      settled[#settled + 1] = id
      if is and is[i] == 1 then
        canceled[#canceled + 1] = i
      else
        owned[#owned + 1] = i
      end
    elseif done[id] ~= attempt then -- else it is there twice: accepted
      -- Settled before by the same attempt, and the reply was lost: accepted.
      local s = redis.call('HGET', state, id)
      if not (s and #s > 20 and sub(s, 28, 31) == attempt) then
        local m = verb ~= 'finish' and redis.call('HGET', later, id)
        if not (m and sub(m, 18, 21) == big(number(attempt, 1, 4) + 1, 4)) then
          reply[#reply + 1] = place + i
        end
      end
    end
  end

  -- Then write; what removes the task from flight comes last, so that an error
  -- on the way leaves it with its owner.
  local submits = at + 1
  local more = tonumber(ARGV[submits])
  if verb == 'finish' then
    if more > 0 and #owned == 1 then
      local notes = {}
      for i = submits + 1, submits + 2 * more, 2 do
        notes[#notes + 1] = 's' .. ARGV[i]
        notes[#notes + 1] = ARGV[i + 1]
      end
      redis.call('HSET', outbox, unpack(notes))
      reply[2] = reply[2] + more
    end
    finish(a, list, class, readms, sweepms, inbox, owned)
  else
    finish(8, list, class, readms, sweepms, inbox, canceled)
    local again, dues = {}, {}
    for _, i in ipairs(owned) do
      local msg = msgs[i]
      local retried = sub(msg, 22, 23)
      if verb == 'retry' then
        retried = big(math.min(number(msg, 22, 2) + 1, 65535), 2)
      end
      msg = sub(msg, 1, 17) .. big(number(msg, 18, 4) + 1, 4) .. retried .. sub(msg, 24)
      if verb == 'release' or a <= 0 then
        again[#again + 1] = msg
      else
        again[#again + 1] = ids[i]
        again[#again + 1] = msg
        dues[#dues + 1] = t + a
        dues[#dues + 1] = ids[i]
      end
    end
    if #dues > 0 then
      local head = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
      redis.call('HSET', later, unpack(again))
      redis.call('ZADD', due, unpack(dues))
      local soon = tonumber(redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2])
      reply[1] = math.max(soon - t, 0)
      if #head == 0 or soon < tonumber(head[2]) then
        nudge(ready, watch, wake)
      end
    elseif verb == 'release' then
      local back = {} -- the first one shall come to stand first
      for i = #again, 1, -1 do
        back[#back + 1] = again[i]
      end
      push(ready, held, watch, wake, back, true)
    else
      push(ready, held, watch, wake, again, false)
    end
  end
  if #settled > 0 then
    redis.call('HDEL', flight, unpack(settled))
    if stopping then
      redis.call('SREM', stop, unpack(settled))
    end
  end
  at = submits + 1 + 2 * more
  place = place + n
end
return reply
