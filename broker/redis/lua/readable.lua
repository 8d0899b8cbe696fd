-- The head of a message: docs/wire.md has the table. An entry is a head and four
-- bytes, and stands for a message that is kept apart.
local HEAD, ENTRY = 54, 58
local MESSAGE, APART = 2, 130 -- versions

-- isEntry reports whether msg is an entry.
local function isEntry(msg)
  return #msg == ENTRY and string.byte(msg, 1) == APART
end

-- readable reports whether msg is a message of the version that these scripts
-- know, or an entry that stands for one: see docs/wire.md. Others are put aside in
-- odd and kept.
local function readable(msg)
  return string.byte(msg, 1) == MESSAGE and #msg >= HEAD or isEntry(msg)
end

-- weight is how many bytes a message has, with those that are kept apart.
local function weight(msg)
  if isEntry(msg) then
    local b3, b2, b1, b0 = string.byte(msg, HEAD + 1, ENTRY)
    return ((b3 * 256 + b2) * 256 + b1) * 256 + b0
  end
  return #msg
end
