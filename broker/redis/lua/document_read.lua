-- document_read returns a document.
--
-- KEYS  1 documents
-- ARGV  1 name
-- Returns the server's time in ms, and the record if there is one.

local record = redis.call('HGET', KEYS[1], ARGV[1])
if record then
  return { now(), record }
end
return { now() }
