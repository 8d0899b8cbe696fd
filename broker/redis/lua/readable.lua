-- Scripts read and change only the head of a message, which has a fixed length; docs/wire.md has
-- its bytes. The body stays as it is. A stub stands for a message whose record has a key of its own:
-- it is the head, with another version byte, and the length of the record (4 bytes).
local HEAD, STUB = 54, 58 -- lengths
local LIMIT_FROM, LIMIT_TO = 46, 51 -- first and last byte of the deadline
local NO_LIMIT = string.rep('\0', 6)
-- The first version of a message and of a stub, and how many later versions have the same
-- head. Versions from 32 on are not used, since text of another program begins with such a byte.
local MESSAGE, STUB_VERSION, NEWER = 2, 130, 29

-- isStub reports whether msg is a stub.
local function isStub(msg)
  local version = string.byte(msg, 1)
  return #msg == STUB and version == STUB_VERSION or #msg >= STUB and version > STUB_VERSION and version <= STUB_VERSION + NEWER
end

-- readable reports whether msg is a message, or a stub, whose head these scripts know. That
-- includes later versions, which keep the head as it is. Other elements of a list are unreadable:
-- they are moved to the list odd and kept there.
local function readable(msg)
  local version = string.byte(msg, 1)
  return #msg >= HEAD and version >= MESSAGE and version <= MESSAGE + NEWER or isStub(msg)
end

-- weight returns the length of a readable message in bytes; of a stub, the length of its record.
local function weight(msg)
  if string.byte(msg, 1) < STUB_VERSION then
    return #msg
  end
  local b3, b2, b1, b0 = string.byte(msg, HEAD + 1, STUB)
  return ((b3 * 256 + b2) * 256 + b1) * 256 + b0
end
