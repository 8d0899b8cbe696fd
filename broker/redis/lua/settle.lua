-- settle ends attempts of one minion at tasks of one queue. It is the script that runs most, so
-- its arguments are few and packed: tasks that have the same values form a group, and the
-- values that differ between its tasks are joined to one text each. settle.go makes the arguments.
--
-- For each group the script reads the messages of the tasks from the flight hash, and sorts the
-- tasks: those that the minion owns; those that it owns and that were cancelled meanwhile; and
-- those that it does not own (any more), which are refused, unless the same settlement was
-- accepted before. Then it writes: final states, notices to the inbox, and arrivals; or it puts
-- the messages back into the queue or among the scheduled ones. It removes tasks from the flight
-- hash last, so that after an error on the way the minion still has them and can settle again.
--
-- KEYS  1 flight  2 claim  3 minions  4 state  5 due  6 later  7 dead  8 unique
--       9 stop  10 keep  11 ready  12 held  13 watch  14 odd  15 flows
--       16 outbox, then the records of large tasks, then the list of each retention class that
--       a group names, then parked and needs if tasks are parked, then holders, steps, about,
--       deadlines and the keys of lanes, as far as they are needed
-- ARGV  1 minion  2 wake channel  3 number of groups  4 which of the last keys there are: 'h'
--       holders (and then the keys of lanes, too), 's' steps, 'a' about, 'd' deadlines, 'l' keys of lanes;
--       then for each group:
--         verb: finish, retry, snooze, giveback or park; with a - behind it if no handler was
--           started
--         a: of finish the final state; of retry, snooze and park the delay in ms; of giveback 0
--         retention class, as the index of its list in KEYS
--         name of that class; a name that begins with d is for dead letters
--         ms for which the outcome can be read
--         ms until the task is swept
--         inbox channel ('' for none)
--         number of tasks; no task is in the call twice
--         notices: for each task id (16 bytes), length (4) and outcome. The outcome of a task
--           that is not finished is the one that it gets if it was cancelled meanwhile.
--         attempts: 4 bytes for each task, or 4 bytes in all if they are the same
--         1 if a task has a unique key, else ''
--         records: for each task 2 bytes, the index of its record in KEYS, or 0 if it has none;
--           '' if no task has one
--         blocks: for the first tasks, a byte for each number of neighbours of the same block
--         number of pairs that follow: of finish, the tasks to be submitted with the only task
--           of the group; of retry, the tasks whose failures are known; of snooze, the
--           tasks that wait for a signal; of park, one more than the tasks; of others 0
--         then the pairs: id and record; of snooze, id and name of the signal. Of park, the first pair is the index of parked in KEYS
--           and the channel on which new needs are published; then id of each task and its need,
--           behind the number of the need (6 bytes)
-- Returns a list: in how many ms the next task is due ('' if that is not known, 'lost' if the
-- minion is not registered), how many arrivals were made, then the index (from 1, over all
-- groups) of each task that was refused.

-- The first part of the script is in settle_plain.lua. It names the keys, reads what the minion owns, and settles
-- usual calls.

local about -- the hash, or nil if no task of the call has a field there that changes
local deadlines -- the set, or nil if no task of the call has a deadline
local L -- the keys of lanes, or nil if no task of the call has a lane or a unique key
local last = #KEYS
if string.find(ARGV[4], 'l', 1, true) then
  L, last = laneKeys(last - 8, later), last - 9
end
if string.find(ARGV[4], 'd', 1, true) then
  deadlines, last = KEYS[last], last - 1
end
if string.find(ARGV[4], 'a', 1, true) then
  about, last = KEYS[last], last - 1
end
local steps -- the hash, or nil if no task of the call may have saved state
if string.find(ARGV[4], 's', 1, true) then
  steps, last = KEYS[last], last - 1
  redis.call('HLEN', steps) -- a key of the wrong type makes the script fail here, before a task changes
end
local spare = 2000 -- how many records may still be removed, so that the script stays short
local locks -- what freeKeys needs, or nil if no task of the call has a unique key
if string.find(ARGV[4], 'h', 1, true) then
  locks = keyNames(unique, KEYS[last], later, due, ready, held, watch, wake, L)
  redis.call('HLEN', unique) -- a key of the wrong type makes the script fail here, before a task changes
  redis.call('HLEN', locks.holders)
end

local stopping = redis.call('EXISTS', stop) == 1
local flowing = redis.call('EXISTS', flows) == 1
local position = 0 -- number of tasks in the groups before
local keyed -- whether a task of the group has a unique key
local unstarted -- whether no handler was started
local opened = false -- whether lines were opened

-- forgetKeys frees the unique keys of tasks that have ended; which has their indexes.
local function forgetKeys(which)
  local some = {}
  for _, i in ipairs(which) do
    if math.floor(byte(msgs[i], 25) / 2) % 2 == 1 then -- FlagUnique
      some[#some + 1] = ids[i]
    end
  end
  freeKeys(locks, some, t)
end

-- forgetRecords removes the large records of tasks that have ended. The record of a dead letter
-- expires when the letter is swept.
local function forgetRecords(which, class, sweepms)
  local spent = {}
  for _, i in ipairs(which) do
    local record = KEYS[number(records, 2 * i - 1, 2)]
    if record and sub(class, 1, 1) == 'd' then
      redis.call('PEXPIRE', record, sweepms)
    elseif record then
      spent[#spent + 1] = record
    end
  end
  if #spent > 0 then
    redis.call('UNLINK', unpack(spent))
  end
end

-- forgetAbout removes the last failures of tasks that have ended. It also removes their metadata,
-- unless the outcomes are kept (seen), so that look-ups return both.
local function forgetAbout(which, seen)
  local fields = {}
  for _, i in ipairs(which) do
    if sub(msgs[i], 22, 23) ~= '\0\0' then -- it was retried
      fields[#fields + 1] = ids[i] .. 'f'
    end
    if not seen then
      fields[#fields + 1] = ids[i]
    end
  end
  if #fields > 0 then
    redis.call('HDEL', about, unpack(fields))
  end
end

-- forgetDeadlines removes tasks that have ended from the set deadlines.
local function forgetDeadlines(which)
  local fields = {}
  for _, i in ipairs(which) do
    if sub(msgs[i], LIMIT_FROM, LIMIT_TO) ~= NO_LIMIT then
      fields[#fields + 1] = ids[i]
    end
  end
  if #fields > 0 then
    redis.call('ZREM', deadlines, unpack(fields))
  end
end

-- finish ends some tasks of the group: it stores their final states and dead letters, frees what
-- they had, makes arrivals, publishes notices, and adds the tasks to the list of the retention
-- class, from which sweep.lua forgets them.
local function finish(final, list, class, readms, sweepms, inbox, which)
  local many = #which
  if many == 0 then
    return
  end
  store(final, list, class, readms, sweepms, which)
  if sub(class, 1, 1) == 'd' then
    local pairs = {}
    for _, i in ipairs(which) do
      local msg = msgs[i]
      if unstarted then -- count it, but keep the number of the hand-out, which grows with a requeue
        msg = returned(msg, true)
        msg = sub(msg, 1, 17) .. sub(msgs[i], 18, 21) .. sub(msg, 22)
      end
      pairs[#pairs + 1] = ids[i]
      pairs[#pairs + 1] = msg
    end
    redis.call('HSET', dead, unpack(pairs))
  end
  if keyed then
    forgetKeys(which)
  end
  if about then
    forgetAbout(which, readms > 0)
  end
  if deadlines then
    forgetDeadlines(which)
  end
  if steps and sub(class, 1, 1) ~= 'd' then -- a requeue of a dead letter goes on with them
    local over = {}
    for x, i in ipairs(which) do
      over[x] = ids[i]
    end
    spare = forgetSteps(steps, over, spare) -- the sweep removes what is left
  end
  if L then
    local over = {}
    for x, i in ipairs(which) do
      over[x] = msgs[i]
    end
    opened = endSequence(L, over, final) or opened
  end
  if flowing then
    local final = {}
    for x, i in ipairs(which) do
      final[x] = { id = ids[i], outcome = outcome(i) }
    end
    reply[2] = reply[2] + arrive(flows, outbox, final)
  end
  if inbox ~= '' then
    local post = notices -- usually the notices of all tasks
    if many < n then
      local some = {}
      for x = 1, many do
        some[x] = sub(notices, froms[which[x]], tos[which[x]])
      end
      post = table.concat(some)
    end
    redis.call('PUBLISH', inbox, post)
  end
end

-- park stores the needs of parked tasks: those of ARGV from an index to another one whose ids are
-- in the set mine. If no other parked task has the same need, it publishes the need to minions.
local function park(from, to, mine)
  local parked, needs, channel = KEYS[tonumber(ARGV[from])], KEYS[tonumber(ARGV[from]) + 1], ARGV[from + 1]
  for i = from + 2, to, 2 do
    if mine[ARGV[i]] then
      local need, score = sub(ARGV[i + 1], 7), string.format('%.0f', number(ARGV[i + 1], 1, 6))
      local first = redis.call('ZCOUNT', parked, score, score) == 0
      redis.call('ZADD', parked, score, ARGV[i])
      if first then
        redis.call('HSET', needs, score, need)
        redis.call('PUBLISH', channel, need)
      end
    end
  end
end

-- isRepeated reports whether a settlement that is not a finish has taken effect before, so that
-- only its reply was lost. A late settlement must not pass for that: the minion was taken for dead,
-- and leave.lua has put the task back into the list or its line with the same next attempt. So
-- only traces count that leave.lua never makes:
--   * retry and snooze with a delay: the task is scheduled (in due) for the next attempt. It may
--     also be there because it is parked, which these verbs don't do.
--   * park: it has a need in the set parked. stranded.lua parks without a need (-1) what was pending.
--   * retry and snooze without a delay, and giveback: the task is pending, as it is after a death. So
--     a repetition is refused. Nothing is lost by that: the task is where it should be.
-- A task in line has its message in later, too, but is not in due.
local function isRepeated(verb, a, id, attempt)
  if verb == 'finish' or verb == 'giveback' or verb ~= 'park' and a <= 0 then
    return false
  end
  local m = redis.call('HGET', later, id)
  if not m or sub(m, 18, 21) ~= big(number(attempt, 1, 4) + 1, 4) or not redis.call('ZSCORE', due, id) then
    return false
  end
  if verb == 'park' then
    local need = redis.call('ZSCORE', KEYS[tonumber(ARGV[at + 1])], id)
    return need and scoreOf(need) >= 0
  end
  return not isParked(byte(m, 25))
end

-- rest returns for how long a task with a delay has to wait. If it waits for a signal that it has, that is
-- 0. Else the task is marked, so that signal.lua makes it due.
local function rest(id, msg, signal, delay)
  if not signal then
    return delay
  end
  if redis.call('HEXISTS', steps, id .. 'g' .. signal) == 1 then
    return 0
  end
  redis.call('HSET', steps, id .. 'w', sub(msg, 18, 21) .. signal)
  return delay
end

for _ = 1, groups do
  local verb, a, list, class = ARGV[at], tonumber(ARGV[at + 1]), KEYS[tonumber(ARGV[at + 2])], ARGV[at + 3]
  local readms, sweepms, inbox = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), ARGV[at + 6]
  readGroup()
  keyed = ARGV[at + 10] ~= ''
  unstarted = byte(verb, -1) == 45 -- '-'
  if unstarted then
    verb = sub(verb, 1, -2)
  end
  at = at + 13

  -- Check everything.
  local is = verb ~= 'finish' and stopping and redis.call('SMISMEMBER', stop, unpack(ids))
  local owned, canceled, own, cancels = {}, {}, 0, 0
  local settled = ids -- the ids to be removed from flight, usually all
  for i = 1, n do
    if not owns(i) then
      if settled == ids then
        settled = {}
        for x = 1, i - 1 do
          settled[x] = ids[x]
        end
      end
      -- Accept a repetition of a settlement whose reply was lost: the task is final by the same
      -- attempt, or waits for its time as this settlement has left it.
      local id, attempt = ids[i], attempts[i]
      local s = look(state, { id })[1]
      if not (s and #s > 30 and sub(s, 28, 31) == attempt) and not isRepeated(verb, a, id, attempt) then
        reply[#reply + 1] = position + i
      end
    else
      if is and is[i] == 1 then
        cancels = cancels + 1
        canceled[cancels] = i
      else
        own = own + 1
        owned[own] = i
      end
      if settled ~= ids then
        settled[#settled + 1] = ids[i]
      end
    end
  end

  -- Then write.
  local more = tonumber(ARGV[at])
  if verb == 'finish' then
    if more > 0 and #owned == 1 then
      local notes = {}
      for i = at + 1, at + 2 * more, 2 do
        notes[#notes + 1] = 's' .. ARGV[i]
        notes[#notes + 1] = ARGV[i + 1]
      end
      redis.call('HSET', outbox, unpack(notes))
      reply[2] = reply[2] + more
    end
    finish(a, list, class, readms, sweepms, inbox, owned)
  else
    finish(8, list, class, readms, sweepms, inbox, canceled) -- state 8: canceled
    local awaited = {} -- the signal that a task waits for, by id
    if more > 0 then
      local mine, failures = {}, {}
      for _, i in ipairs(owned) do
        mine[ids[i]] = true
      end
      if verb == 'park' then
        park(at + 1, at + 2 * more, mine)
      elseif verb == 'snooze' then
        for i = at + 1, at + 2 * more, 2 do
          awaited[ARGV[i]] = ARGV[i + 1]
        end
      else
        for i = at + 1, at + 2 * more, 2 do
          if mine[ARGV[i]] then
            failures[#failures + 1] = ARGV[i] .. 'f'
            failures[#failures + 1] = ARGV[i + 1]
          end
        end
      end
      if #failures > 0 then
        redis.call('HSET', about, unpack(failures))
      end
    end
    local again, dues, lined = {}, {}, {}
    for _, i in ipairs(owned) do
      local msg = msgs[i]
      msg = returned(msg, unstarted)
      if deadlines then
        watchDeadline(deadlines, msg)
      end
      if verb == 'retry' then
        msg = sub(msg, 1, 21) .. big(math.min(number(msg, 22, 2) + 1, 65535), 2) .. sub(msg, 24)
      end
      if verb == 'retry' or verb == 'snooze' and not unstarted then
        msg = afresh(msg, verb == 'retry')
      end
      local flags = byte(msg, 25)
      if verb ~= 'giveback' and isParked(flags) ~= (verb == 'park') then
        flags = flags + (verb == 'park' and 16 or -16)
        msg = sub(msg, 1, 24) .. char(flags) .. sub(msg, 26)
      end
      if L and (verb == 'giveback' or a <= 0) and laneOf(msg) then
        lined[#lined + 1] = msg
      elseif verb == 'giveback' or a <= 0 then
        again[#again + 1] = msg
      else
        again[#again + 1] = ids[i]
        again[#again + 1] = msg
        dues[#dues + 1] = t + rest(ids[i], msg, awaited[ids[i]], a)
        dues[#dues + 1] = ids[i]
      end
    end
    if #lined > 0 then
      lineUp(L, ready, held, watch, wake, lined)
    end
    if #dues > 0 then
      local head = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
      redis.call('HSET', later, unpack(again))
      redis.call('ZADD', due, unpack(dues))
      local soon = scoreOf(redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2])
      reply[1] = math.min(math.max(soon - t, 0), 86400000) -- bounded, since a damaged score may be infinite
      if #head == 0 or soon < scoreOf(head[2]) then
        nudge(ready, watch, wake)
      end
    elseif verb == 'giveback' then
      local back = {} -- push puts the last one to the front; turn the order, so that it is the first one
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
    if L then
      local over = {}
      for i = 1, n do
        if msgs[i] and sub(msgs[i], 18, 21) == attempts[i] then
          over[#over + 1] = msgs[i]
        end
      end
      opened = owner and discharge(L, over) or opened
    end
    if stopping then
      redis.call('SREM', stop, unpack(settled))
    end
  end
  if records ~= '' then
    forgetRecords(verb == 'finish' and owned or canceled, class, sweepms)
  end
  at = at + 1 + 2 * more
  position = position + n
end
if opened then
  nudge(ready, watch, wake)
end
if not owner then
  reply[1] = 'lost'
end
return reply
