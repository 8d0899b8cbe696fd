-- The head of a message: docs/wire.md has the table. An entry is a head and four
-- bytes, and stands for a message that is kept apart.
local HEAD, ENTRY = 54, 58
local LIMIT_FROM, LIMIT_TO = 46, 51 -- first and last byte of the deadline
local NO_LIMIT = string.rep('\0', 6)
-- Versions: the first and the last one of which heads and entries are as these scripts
-- know them. A version from 32 on would be taken for text that somebody else has written.
local MESSAGE, APART, NEWER = 2, 130, 29

-- isEntry reports whether msg is an entry.
local function isEntry(msg)
  local version = string.byte(msg, 1)
  return #msg == ENTRY and version == APART or #msg >= ENTRY and version > APART and version <= APART + NEWER
end

-- readable reports whether msg is a message whose head these scripts know, or an entry
-- that stands for one: see docs/wire.md. A later version keeps the head as it is, and
-- scripts open no body. Others are put aside in odd and kept.
local function readable(msg)
  local version = string.byte(msg, 1)
  return #msg >= HEAD and version >= MESSAGE and version <= MESSAGE + NEWER or isEntry(msg)
end

-- weight is how many bytes a message has, with those that are kept apart.
local function weight(msg)
  if isEntry(msg) then
    local b3, b2, b1, b0 = string.byte(msg, HEAD + 1, ENTRY)
    return ((b3 * 256 + b2) * 256 + b1) * 256 + b0
  end
  return #msg
end
