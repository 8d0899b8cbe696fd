-- record reads a large record. It is a script and not a plain GET, since a client
-- may send plain reads to a replica, which may not have the record yet.
--
-- KEYS  1 record
-- Returns the record, or false if there is none.

return redis.call('GET', KEYS[1])
