-- document_changes lists the documents of a collection that were changed after a version.
--
-- KEYS  1 documents  2 versions
-- ARGV  1 version  2 how many documents at most  3 how many bytes of records, at least one record
-- Returns the server's time in ms, 1 if there are further changes or else 0, then for each document
-- its name, its version, and its record, which is empty if the document was removed.

local found = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, tonumber(ARGV[2]) + 1)
local out, left, more = { now(), 0 }, tonumber(ARGV[3]), 0
for i = 1, #found, 2 do
  local record = redis.call('HGET', KEYS[1], found[i]) or ''
  left = left - #record
  if i > 1 and left < 0 or i > 2 * tonumber(ARGV[2]) then
    more = 1
    break
  end
  out[#out + 1] = found[i]
  out[#out + 1] = found[i + 1]
  out[#out + 1] = record
end
out[2] = more
return out
