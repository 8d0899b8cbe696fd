-- dequeue_plain is the first part of the dequeue script, and in the usual case all of it: no task is due, and
-- no message must be checked, so held does not exist (see push.lua). It is in front of most files that
-- the script includes. A run of a script makes each function that it comes to, and so the usual case
-- makes few. dequeue.lua has the keys, the arguments and the reply.

local ready, held, gone, due, later, flight, minions, odd, watch =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local sub = string.sub
local minion, wake, most, room = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local lease = redis.call('ZSCORE', minions, minion)
if not lease or scoreOf(lease) < 0 then
  return false
end
-- A server that is out of memory refuses the first write of a script if the command may need
-- memory. After another write it allows every command. Handing out tasks frees memory in the
-- end, so it must go on then. That is why the first write is a command that never needs memory
-- and changes nothing. Many scripts begin with such a command.
redis.call('HDEL', flight, '')

local t = now()
local head = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES') -- the next task that will be due, and when

-- handOutReady hands out messages from ready, without any check. It returns the reply of the script.
local function handOutReady()
  local out, n, looked, batch = { 0, 0, 0, 0 }, 0, 0, 64
  local left = true
  while n < most and room > 0 and looked < 2000 do
    local msgs = redis.call('LPOP', ready, math.min(most - n, batch))
    if not msgs then
      left = false
      break
    end
    local pairs, strange, size, at = {}, {}, 0, 0
    for i = 1, #msgs do
      local msg = msgs[i]
      if size >= room then -- enough: put the rest back where it was, without tokens
        local rest = {}
        for j = #msgs, i, -1 do
          if msgs[j] ~= '!' then
            rest[#rest + 1] = msgs[j]
          end
        end
        if #rest > 0 then
          redis.call('LPUSH', ready, unpack(rest))
        end
        break
      end
      if readable(msg) then
        n = n + 1
        out[4 + n] = msg
        pairs[at + 1] = sub(msg, 2, 17)
        pairs[at + 2] = msg
        at = at + 2
        size = size + weight(msg)
      elseif msg ~= '!' then
        strange[#strange + 1] = msg
      end
    end
    if at > 0 then
      redis.call('HSET', flight, unpack(pairs))
    end
    if #strange > 0 then
      redis.call('RPUSH', odd, unpack(strange))
    end
    looked = looked + #msgs
    room = room - size
    if size < 65536 then -- the messages are small, so take more at a time
      batch = math.min(batch * 4, 500)
    end
  end
  if left then
    left = redis.call('EXISTS', ready) == 1
  end
  out[1], out[2], out[3], out[4] = t, head[2] or '', left and 1 or 0, n
  return out
end

if redis.call('EXISTS', held) == 0 and not (head[2] and scoreOf(head[2]) <= t) then
  return handOutReady()
end
