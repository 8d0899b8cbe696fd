-- Pending messages are usually in the list ready, from which a blocking move of a minion takes
-- them without any script. While some of them must be checked before they start, since they
-- were cancelled, their flow is halted or something is paused, all of them are in the list held instead. No blocking
-- move reads held. Then ready has one token, the text '!'. A minion that takes the token runs
-- the dequeue script, which checks the messages in held. So there are two cases:
--   * held exists: all messages are in held, and ready is exactly {'!'}, or a minion has taken
--     the token and is about to run the script;
--   * held does not exist: all messages are in ready, perhaps behind a token.
-- While a flow is halted or something is paused, held must exist, or new messages would go to ready. Redis removes an
-- empty list, so held has a '!' of its own then, and a list of that alone counts as empty.

-- push adds those messages of msgs that stand at the index first (1 if nil) and behind it to a
-- queue. They go to its end; or to its front, one by one, so that the last of them comes to stand
-- first. If the queue was empty it also wakes the minions of several queues, which listen to
-- the wake channel.
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
      redis.call('LPOP', ready) -- a token would not stand at the head any more; no message needs it
    end
    was = redis.call(add, ready, unpack(msgs, first)) - n
  end
  if was <= 1 and redis.call('EXISTS', watch) == 1 then
    redis.call('PUBLISH', wake, '')
  end
end

-- keepHeld gives held its token, unless it has one. A list is not searched further than 10,000 messages: if the token
-- stands behind these, held gets a second one, and the dequeue script drops one of them when it comes to it.
local function keepHeld(held)
  if not redis.call('LPOS', held, '!', 'MAXLEN', 10000) then
    redis.call('RPUSH', held, '!')
  end
end

-- nudge makes one idle minion run the dequeue script, though there may be no new message: with
-- a token in ready, and on the wake channel.
local function nudge(ready, watch, wake)
  if redis.call('EXISTS', ready) == 0 then
    redis.call('RPUSH', ready, '!')
  end
  if redis.call('EXISTS', watch) == 1 then
    redis.call('PUBLISH', wake, '')
  end
end
