-- The hash about has what a look-up tells of a task though its message may be where
-- no script finds it. Under an id: the record of the task's metadata, from its
-- enqueue until its state is swept, or until it ends if its outcome is not kept. Under
-- an id and 'f': the record of its last failure, from a retry until it ends. A task
-- without metadata that was never retried has no field.

-- metadata takes from the arguments of an enqueue the last one, if it tells of
-- metadata, and the last key, which is that of about. It returns the key, and the
-- argument; nil if there is none. The argument is '\0', and for each task that has
-- metadata: which message it is (2), where in that its metadata is (4) and how long it
-- is (4). In the record of an entry no script can look: then where is 0, and the
-- metadata follows.
local function metadata()
  if string.sub(ARGV[#ARGV], 1, 1) == '\0' then
    return table.remove(KEYS), table.remove(ARGV)
  end
end

-- describe stores metadata of messages. Each of them is given by message, nil if it
-- was not stored.
local function describe(about, text, message)
  local fields, at = {}, 2
  while at < #text do
    local b = { string.byte(text, at, at + 9) }
    local msg = message(b[1] * 256 + b[2])
    local from = ((b[3] * 256 + b[4]) * 256 + b[5]) * 256 + b[6]
    local size = ((b[7] * 256 + b[8]) * 256 + b[9]) * 256 + b[10]
    at = at + 10
    local meta
    if from == 0 then
      meta = string.sub(text, at, at + size - 1)
      at = at + size
    elseif msg then
      meta = string.sub(msg, from + 1, from + size)
    end
    if msg then
      fields[#fields + 1] = string.sub(msg, 2, 17)
      fields[#fields + 1] = '\1' .. meta
    end
  end
  if #fields > 0 then
    redis.call('HSET', about, unpack(fields))
  end
end
