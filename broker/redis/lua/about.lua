-- A look-up returns the metadata and the last failure of a task. They can't be read from its
-- message, which may be anywhere in a list, or already removed. So they are in the hash about:
--   id        the record of the task's metadata: from its enqueue until its state is swept, or
--             until it ends if its outcome is not kept
--   id, 'f'   the record of its last failure: from a retry until it ends
-- A task without metadata that was never retried has no field.

-- metadata removes the last argument of an enqueue if that argument is about metadata, and
-- with it the last key, which is about. It returns the key and the argument, nil if there is
-- none. The argument is '\0' and, for each task that has metadata: index of its message (2
-- bytes), where the metadata begins in the message (4) and how long it is (4). A script can't
-- read the record of a large task; the beginning is 0 then, and the metadata follows here.
local function metadata()
  if string.sub(ARGV[#ARGV], 1, 1) == '\0' then
    return table.remove(KEYS), table.remove(ARGV)
  end
end

-- describe stores the metadata that text, the argument, tells of. The function message returns
-- the message of an index, or nil if the task was not stored.
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
