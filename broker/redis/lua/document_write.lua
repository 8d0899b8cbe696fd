-- document_write changes a document, or removes it, if it has the expected version.
--
-- KEYS  1 documents  2 versions  3 removed
-- ARGV  1 channel of the collection  2 name  3 expected version, in decimal; 0: there must be no
--       document; *: any, also one that can't be read  4 1 removes it, else 0  5 data
-- Returns the version after the call and 1 if that was expected, else 0. The version is 0 if there
-- is no document then. Returns the stored record alone if it can't be read: nothing was changed.

local documents, versions, removed = KEYS[1], KEYS[2], KEYS[3]
local name, expected, remove = ARGV[2], ARGV[3], ARGV[4] == '1'

local old = redis.call('HGET', documents, name)
local version, over, at = '0', '', 0
if old then
  local is, was, data = string.match(old, '^1 (%d+) (%d+)\n()')
  if is then
    version, over, at = is, was, data
  elseif expected ~= '*' then
    return { old }
  end
end
if remove and not old then
  return { '0', 1 }
end
if version ~= expected and expected ~= '*' then
  if not remove and over == expected and string.sub(old, at) == ARGV[5] then
    return { version, 1 } -- a repeated call
  end
  return { version, 0 }
end

-- Versions are times in us, so that none is used again after a failover has lost the last ones.
local t = redis.call('TIME')
local last = redis.call('ZREVRANGE', versions, 0, 0, 'WITHSCORES')
local new = t[1] * 1000000 + t[2]
local top = last[2] and scoreOf(last[2]) or 0
if top >= new and top < 9e15 then -- a greater number is damaged, since it is no time
  new = top + 1
end
new = string.format('%.0f', new)
local ms = now()
redis.call('ZADD', versions, new, name)
if remove then
  redis.call('HDEL', documents, name)
  redis.call('ZADD', removed, ms, name)
else
  redis.call('HSET', documents, name, '1 ' .. new .. ' ' .. version .. '\n' .. ARGV[5])
  redis.call('ZREM', removed, name)
end

-- Marks of removed documents are forgotten after an hour.
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', removed, '-inf', ms - 3600000, 'LIMIT', 0, 20)) do
  redis.call('ZREM', versions, gone)
  redis.call('ZREM', removed, gone)
end
if redis.call('EXISTS', documents) == 0 then -- only marks are left
  redis.call('PEXPIRE', versions, 7200000)
  redis.call('PEXPIRE', removed, 7200000)
else
  redis.call('PERSIST', versions)
  redis.call('PERSIST', removed)
end
redis.call('PUBLISH', ARGV[1], new)
return { remove and '0' or new, 1 }
