-- A queue's messages are in ready, where a minion's blocking move takes them
-- without asking anybody. Only while some of them must be looked at before they
-- start (they were cancelled) are they in held instead, and then ready holds
-- one token, '!', that sends whoever takes it to the dequeue script. So:
--   * held exists: all messages are in held, and ready is exactly {'!'}, or a minion
--     has the token and is about to run the script;
--   * else: all messages are in ready, perhaps behind a token.
-- While a flow is halted (see halt.lua) held must exist, or what comes would go to ready.
-- So it keeps a '!' of its own, and a list of nothing else counts as empty.

-- push adds messages to a queue: to its end, or to its front, where the last of
-- them comes to stand first. They are those of msgs from the first on. It wakes
-- minions of several queues where they listen.
local function push(ready, held, watch, wake, msgs, front, first)
  first = first or 1
  local n = #msgs - first + 1
  if n <= 0 then
    return
  end
  local add = front and 'LPUSH' or 'RPUSH'
  local was
  if redis.call('EXISTS', held) == 1 then
    was = redis.call(add, held, unpack(msgs, first)) - n
    if was <= 1 and redis.call('EXISTS', ready) == 0 then
      redis.call('RPUSH', ready, '!')
    end
  else
    if front and redis.call('LINDEX', ready, 0) == '!' then
      redis.call('LPOP', ready) -- the token stays at the head, and is not needed
    end
    was = redis.call(add, ready, unpack(msgs, first)) - n
  end
  if was <= 1 and redis.call('EXISTS', watch) == 1 then
    redis.call('PUBLISH', wake, '')
  end
end

-- nudge wakes one idle minion so that it asks the dequeue script.
local function nudge(ready, watch, wake)
  if redis.call('EXISTS', ready) == 0 then
    redis.call('RPUSH', ready, '!')
  end
  if redis.call('EXISTS', watch) == 1 then
    redis.call('PUBLISH', wake, '')
  end
end
