-- settle_plain is the first part of the settle script, and in the usual case all of it: all tasks of the
-- call have ended in the same way, the minion owns them all, and none has anything beside its state and
-- its message. It is in front of most files that the script includes; dequeue_plain.lua tells why.
-- The keys, the arguments and the reply are in settle.lua.

local flight, claim, minions, state, due, later, dead, unique, stop, keep, ready, held, watch, odd, flows, outbox =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8],
  KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16]
local minion, wake, groups = ARGV[1], ARGV[2], tonumber(ARGV[3])
local sub, byte, char = string.sub, string.byte, string.char

redis.call('HDEL', flight, '') -- so that it works when the server is out of memory: see dequeue_plain.lua

local lease = redis.call('ZSCORE', minions, minion)
local owner = lease and scoreOf(lease) >= 0
if owner then
  absorb(claim, flight, odd)
end
local t = now()
local reply = { '', 0 }
local at = 5 -- where the arguments of the current group begin

-- The current group: number of tasks, and arguments; then, by index of the task, id, attempt, where its
-- notice begins and ends, and the message that the minion holds.
local n, notices, records, runs
local ids, attempts, froms, tos, msgs
local alike -- the attempt, if it is the same for all tasks, or false

-- readGroup reads the arguments of the group and the messages of its tasks.
local function readGroup()
  n, notices, records, runs = tonumber(ARGV[at + 7]), ARGV[at + 8], ARGV[at + 11], ARGV[at + 12]
  local stamps = ARGV[at + 9]
  alike = #stamps == 4 and stamps
  ids, attempts, froms, tos = {}, {}, {}, {}
  local from = 1
  for i = 1, n do
    local a3, a2, a1, a0 = byte(notices, from + 16, from + 19)
    local to = from + 19 + ((a3 * 256 + a2) * 256 + a1) * 256 + a0
    ids[i] = sub(notices, from, from + 15)
    attempts[i] = alike or sub(stamps, 4 * i - 3, 4 * i)
    froms[i], tos[i] = from, to
    from = to + 1
  end
  msgs = redis.call('HMGET', flight, unpack(ids))
end

-- owns reports whether the minion owns the attempt at the task at an index.
local function owns(i)
  local msg = msgs[i]
  return owner and msg and #msg >= HEAD and sub(msg, 18, 21) == attempts[i]
end

-- outcome returns the outcome of the task at an index, with its length (4 bytes) in front.
local function outcome(i)
  return sub(notices, froms[i] + 16, tos[i])
end

-- finishRuns stores the final states of some tasks of the group as runs of their blocks (see
-- block.lua), as far as that is possible: all neighbours are among which, their block can be
-- read and has their states, and there is no such run yet. head is the beginning of each run
-- without the version, and kept says whether outcomes are stored. It returns the elements for
-- the list of the retention class, and the indexes of the tasks that need fields of their own.
local function finishRuns(head, kept, which)
  local mine -- the indexes in which, as a set; nil if which has all tasks of the group
  if #which < n then
    mine = {}
    for _, i in ipairs(which) do
      mine[i] = true
    end
  end
  local names, from, many = {}, 1, #runs
  for r = 1, many do
    local id = ids[from]
    names[r] = sub(id, 1, 15)
    names[many + r] = names[r] .. 'r' .. sub(id, 16) -- the field of the run, which should not exist yet
    from = from + byte(runs, r)
  end
  local known = redis.call('HMGET', state, unpack(names))
  local left, fields, forget = {}, {}, {}
  from = 1
  for r = 1, many do
    local block, to = known[r], from + byte(runs, r) - 1
    local size = block and width(block)
    local fits = size and not known[many + r]
    if fits and (mine or size < 64 or sub(block, 3, 66) ~= string.rep('\0', 64)) then
      for i = from, to do
        local at = byte(ids[i], 16)
        if mine and not mine[i] or at > size or byte(block, 2 + at) ~= HERE then
          fits = false
        end
      end
    end
    if fits then
      fields[#fields + 1] = names[many + r]
      if kept then
        fields[#fields + 1] = char(NOTICES) .. head .. sub(notices, froms[from], tos[to])
      else
        local positions = {}
        for i = from, to do
          positions[#positions + 1] = sub(ids[i], 16)
        end
        fields[#fields + 1] = char(POSITIONS) .. head .. table.concat(positions)
      end
      forget[#forget + 1] = ids[from]
    else
      for i = from, to do
        if not mine or mine[i] then
          left[#left + 1] = i
        end
      end
    end
    from = to + 1
  end
  for i = from, n do
    if not mine or mine[i] then
      left[#left + 1] = i
    end
  end
  if #fields > 0 then
    redis.call('HSET', state, unpack(fields))
  end
  return forget, left
end

-- store stores the final states of some tasks of the group, and adds the tasks to the list of the
-- retention class, from which sweep.lua forgets them.
local function store(final, list, class, readms, sweepms, which)
  local stamp = string.char(final) .. big(t + readms, 6)
  local own, over = which, big(t + sweepms, 6)
  if runs ~= '' and alike and sub(class, 1, 1) == 'r' then
    local forget
    forget, own = finishRuns(stamp .. alike, readms > 0, which)
    if #forget > 0 then
      redis.call('RPUSH', list, over .. 'r' .. table.concat(forget))
    end
  end
  if #own > 0 then
    local states, forget = {}, {}
    for x = 1, #own do
      local i = own[x]
      local id = ids[i]
      states[2 * x - 1] = id
      states[2 * x] = sub(msgs[i], 26, 45) .. stamp .. attempts[i] .. (readms > 0 and outcome(i) or '')
      forget[x] = id
    end
    redis.call('HSET', state, unpack(states))
    mark(state, forget, OWN)
    redis.call('RPUSH', list, over .. table.concat(forget))
  end
  redis.call('ZADD', keep, 'NX', t + sweepms, class)
end

-- The usual case: one group of finished tasks; no last keys, records of large tasks or tasks to be submitted; no dead
-- letters; and no task of the queue was cancelled while it ran, or is a member of a flow.
if owner and groups == 1 and ARGV[4] == '' and ARGV[5] == 'finish' and sub(ARGV[8], 1, 1) == 'r' and ARGV[16] == '' and
  ARGV[18] == '0' and redis.call('EXISTS', stop, flows) == 0 then
  readGroup()
  local all = {}
  for i = 1, n do
    if not owns(i) then
      all = nil -- the rest of the script refuses what the minion does not own
      break
    end
    all[i] = i
  end
  if all then
    store(tonumber(ARGV[6]), KEYS[tonumber(ARGV[7])], ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), all)
    if ARGV[11] ~= '' then
      redis.call('PUBLISH', ARGV[11], notices)
    end
    redis.call('HDEL', flight, unpack(ids))
    return reply
  end
end
