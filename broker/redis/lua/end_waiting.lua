-- endWaiting ends tasks of a queue that wait: it stores their final states and arrivals, and tells
-- their inboxes. The table k has the names of the keys, and the prefix of inbox channels. Each
-- item has id, state (20 bytes), msg if the message is in later, outcome (length and record),
-- and record, if there may be a large record. becomes is the final state. The outcomes are
-- stored in the retention class of k.list, and can be read for readms. It returns how many
-- arrivals were made.
--
-- The message of a pending task is somewhere in a list, which is too long to search. So a
-- tombstone is left: the id is added to gone, and ready is renamed to held. The dequeue script
-- checks the messages in held before they start (see push.lua), and drops this one then.
local function endWaiting(k, items, becomes, class, readms, sweepms, t)
  if #items == 0 then
    return 0
  end
  local tombs, asleep, parked, lined, ids, news, failures, spent = {}, {}, {}, {}, {}, {}, {}, {}
  local stamp = string.char(becomes) .. big(t + readms, 6) .. big(0, 4)
  for i, item in ipairs(items) do
    if item.msg then
      asleep[#asleep + 1] = item.id
      if isParked(string.byte(item.msg, 25)) then
        parked[#parked + 1] = item.id
      end
      if readable(item.msg) and laneOf(item.msg) then
        lined[#lined + 1] = item.msg
      end
    else
      tombs[#tombs + 1] = item.id
    end
    ids[i], failures[i] = item.id, item.id .. 'f'
    news[2 * i - 1] = item.id
    news[2 * i] = item.state .. stamp .. item.outcome
    spent[#spent + 1] = item.record
  end
  if #lined > 0 then
    leaveLine(k.lanes, lined)
    endSequence(k.lanes, lined, becomes)
    nudge(k.ready, k.watch, k.wake)
  end
  if #tombs > 0 then
    redis.call('SADD', k.gone, unpack(tombs))
    if redis.call('EXISTS', k.held) == 0 and redis.call('EXISTS', k.ready) == 1 then
      redis.call('RENAME', k.ready, k.held)
    end
    if redis.call('EXISTS', k.held) == 1 then
      nudge(k.ready, k.watch, k.wake)
    else
      redis.call('DEL', k.gone) -- neither list exists, so there are no messages
    end
  end
  redis.call('HSET', k.state, unpack(news))
  for _, item in ipairs(items) do
    local inbox = string.sub(item.state, 5, 20)
    if inbox ~= string.rep('\0', 16) then
      redis.call('PUBLISH', k.inboxes .. hex(inbox), item.id .. item.outcome)
    end
  end
  if #asleep > 0 then
    redis.call('HDEL', k.later, unpack(asleep))
    redis.call('ZREM', k.due, unpack(asleep))
    for _, key in ipairs({ k.aside, k.back }) do -- see paused.lua
      if redis.call('EXISTS', key) == 1 then
        redis.call('ZREM', key, unpack(asleep))
      end
    end
  end
  redis.call('SREM', k.stop, unpack(ids)) -- marks from when they ran; no settlement will remove them
  mark(k.state, ids, OWN)
  if redis.call('EXISTS', k.about) == 1 then
    redis.call('HDEL', k.about, unpack(failures))
  end
  unpark(k.parked, k.needs, parked)
  redis.call('RPUSH', k.list, big(t + sweepms, 6) .. table.concat(ids))
  redis.call('ZADD', k.keep, 'NX', t + sweepms, class)
  if #spent > 0 then
    redis.call('UNLINK', unpack(spent))
  end
  return arrive(k.flows, k.outbox, items)
end
