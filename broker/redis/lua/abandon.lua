-- abandon ends parked tasks of a queue without a minion, whose time is over. The caller has
-- read them with abandoned.lua and knows their outcomes. All are of one retention class.
-- The script ends a task only if it still waits as it was read; others stay as they are.
--
-- KEYS  1 minions  2 due  3 later  4 parked  5 needs  6 state  7 dead  8 unique  9 keep
--       10 list of the class  11 about  12 deadlines  13 flows  14 outbox  15 holders
--       16 ready  17 held  18 watch  19-27 the keys of lanes, then the key of each task's record,
--       which exists only for large ones
-- ARGV  1 ms for which their time must have been over  2 name of the class  3 ms for which
--       the outcome can be read  4 ms until the task is swept  5 prefix of inbox channels
--       6 wake channel, then for each task: id, number of its next attempt (4 bytes), outcome
--       with its length (4 bytes) in front
-- Returns false, and does nothing, if the queue has a minion; else how many tasks have
-- ended, and how many arrivals that made.

local due, later, parked, needs, state, dead, unique, keep, list, about, deadlines, flows, outbox =
  KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14]
local locks = keyNames(unique, KEYS[15], later, due, KEYS[16], KEYS[17], KEYS[18], ARGV[6], laneKeys(19, later))
local class, readms, sweepms = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call('EXISTS', KEYS[1]) == 1 then
  return false
end
redis.call('HDEL', later, '') -- so that it works when the server is out of memory: see dequeue.lua

-- Check everything before the first write. A key of the wrong type makes the script fail here.
for _, key in ipairs({ needs, dead, unique, locks.holders, about, flows, outbox }) do
  redis.call('HLEN', key)
end
redis.call('ZCARD', parked)
redis.call('ZCARD', keep)
redis.call('ZCARD', deadlines)
redis.call('LLEN', list)
local t = now()
local asked, items, seen = {}, {}, {}
for a = 7, #ARGV, 3 do
  asked[#asked + 1] = ARGV[a]
end
local states = look(state, asked)
for i, id in ipairs(asked) do
  local at = 4 + 3 * i
  local msg, over = redis.call('HGET', later, id), redis.call('ZSCORE', due, id)
  if not seen[id] and states[i] and #states[i] == 20 and
    msg and readable(msg) and isParked(string.byte(msg, 25)) and string.sub(msg, 18, 21) == ARGV[at + 1] and
    over and scoreOf(over) <= t - tonumber(ARGV[1]) then
    seen[id] = true
    items[#items + 1] = { id = id, msg = msg, origin = states[i], outcome = ARGV[at + 2], record = KEYS[27 + i] }
  end
end
if #items == 0 then
  return { 0, 0 }
end

-- Then write.
local ids, fields, letters, failures = {}, {}, {}, {}
for i, item in ipairs(items) do
  ids[i] = item.id
  fields[2 * i - 1] = item.id -- its new state is 7, failed:
  fields[2 * i] = item.origin .. '\7' .. big(t + readms, 6) .. big(0, 4) .. (readms > 0 and item.outcome or '')
  letters[2 * i - 1] = item.id
  -- The dead letter counts one more hand-out that was not started, as settle.lua does. The
  -- number of the hand-out itself grows when the letter is requeued.
  letters[2 * i] = string.sub(item.msg, 1, 52) .. big(math.min(number(item.msg, 53, 2) + 1, 65535), 2) .. string.sub(item.msg, 55)
  failures[#failures + 1] = item.id .. 'f'
  if readms == 0 then
    failures[#failures + 1] = item.id
  end
end
local letter = string.sub(class, 1, 1) == 'd'
if letter then
  redis.call('HSET', dead, unpack(letters))
end
redis.call('HSET', state, unpack(fields))
mark(state, ids, OWN)
redis.call('RPUSH', list, big(t + sweepms, 6) .. table.concat(ids))
redis.call('ZADD', keep, 'NX', t + sweepms, class)
local spent = {}
for _, item in ipairs(items) do
  if letter then -- the large record expires when the dead letter is swept
    redis.call('PEXPIRE', item.record, sweepms)
  else
    spent[#spent + 1] = item.record
  end
end
if #spent > 0 then
  redis.call('UNLINK', unpack(spent))
end
redis.call('HDEL', about, unpack(failures))
redis.call('ZREM', deadlines, unpack(ids))
local arrivals = arrive(flows, outbox, items)
for _, item in ipairs(items) do
  local inbox = string.sub(item.origin, 5, 20)
  if inbox ~= string.rep('\0', 16) then
    local name = string.gsub(inbox, '.', function(c) return string.format('%02x', string.byte(c)) end)
    redis.call('PUBLISH', ARGV[5] .. name, item.id .. item.outcome)
  end
end
unpark(parked, needs, ids)
redis.call('HDEL', later, unpack(ids))
redis.call('ZREM', due, unpack(ids))
local lined = {}
for _, item in ipairs(items) do
  if laneOf(item.msg) then
    lined[#lined + 1] = item.msg
  end
end
endSequence(locks.lanes, lined, 7)
freeKeys(locks, ids, t)
return { #items, arrivals }
