// Package damage corrupts the records of a broker on Redis, as a faulty disk, an operator or
// another program may do. Tests use it to show that one bad record does not affect the others.
package damage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// added is Strike.How of a strike that adds an element, so there was no value before.
const added = "an element was added"

// Strike is a change of one element of a key, or of a whole key.
type Strike struct {
	Key   string
	Kind  string // the type of the key, as Redis names it
	How   string // the change in words
	Field string // field of a hash, member of a set or sorted set, or index in a list; "" for a whole key
	Old   string // the value before
	New   string // the value afterwards
	Whole bool   // the whole key was changed

	commands [][]any
}

// String describes the strike in one line.
func (s Strike) String() string {
	return fmt.Sprintf("%s %q: %s, field %.40q: %.60q became %.60q", s.Kind, s.Key, s.How, s.Field, s.Old, s.New)
}

// Names reports whether text is part of the key, the field, or the value before or afterwards.
func (s Strike) Names(text string) bool {
	return strings.Contains(s.Field, text) || strings.Contains(s.Old, text) || strings.Contains(s.New, text) || strings.Contains(s.Key, text)
}

// Choose returns a strike at one of the keys, and changes nothing yet. ok is false if the chosen
// key no longer exists, or holds nothing that can be changed.
func Choose(ctx context.Context, rdb redis.UniversalClient, rnd *rand.Rand, keys []string) (s Strike, ok bool, err error) {
	if len(keys) == 0 {
		return s, false, nil
	}
	s.Key = keys[rnd.IntN(len(keys))]
	if s.Kind, err = rdb.Type(ctx, s.Key).Result(); err != nil {
		return s, false, err
	}
	switch s.Kind {
	case "hash":
		return s.hash(ctx, rdb, rnd)
	case "list":
		return s.list(ctx, rdb, rnd)
	case "zset":
		return s.sorted(ctx, rdb, rnd)
	case "set":
		return s.set(ctx, rdb, rnd)
	case "string":
		return s.text(ctx, rdb, rnd)
	}
	return s, false, nil
}

// Retype returns a strike that replaces a key by one of another type.
func Retype(key, kind string) Strike {
	s := Strike{Key: key, Kind: kind, How: "the key was replaced by one of another type", Whole: true, commands: [][]any{{"del", key}}}
	if kind == "set" {
		s.commands = append(s.commands, []any{"set", key, "x"})
	} else {
		s.commands = append(s.commands, []any{"sadd", key, "x"})
	}
	return s
}

// Add returns a strike that adds a random element to a key of the given type. The key need not
// exist.
func Add(rnd *rand.Rand, key, kind string) Strike {
	s := Strike{Key: key, Kind: kind, How: added}
	switch what := noise(rnd); kind {
	case "hash":
		s.Field, s.New = name(rnd), what
		s.do("hset", key, s.Field, s.New)
	case "list":
		s.New = what
		if rnd.IntN(2) == 0 {
			s.do("lpush", key, s.New)
		} else {
			s.do("rpush", key, s.New)
		}
	case "zset":
		s.Field, s.New = name(rnd), score(rnd)
		s.do("zadd", key, s.New, s.Field)
	case "set":
		s.Field = name(rnd)
		s.do("sadd", key, s.Field)
	default:
		s.New = what
		s.do("set", key, s.New)
	}
	return s
}

// Spoil returns a strike at the value of a field of a hash, which is cut short or replaced. The new
// value contains no id that the old one does not contain.
func Spoil(rnd *rand.Rand, key, field, old string) Strike {
	s := Strike{Key: key, Kind: "hash", Field: field, Old: old}
	if len(old) > 0 && rnd.IntN(2) == 0 {
		s.How, s.New = "the value was cut short", old[:rnd.IntN(len(old))]
	} else {
		s.How, s.New = "the value was replaced", noise(rnd)
	}
	s.do("hset", key, field, s.New)
	return s
}

func (s *Strike) do(command ...any) { s.commands = append(s.commands, command) }

// strike changes an element only if it still has the value that it had when it was chosen. So
// Strike.Old is always true.
var strike = redis.NewScript(`
local key, kind, field, old = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local is
if kind == 'hash' then
  is = redis.call('HGET', key, field)
elseif kind == 'list' then
  is = redis.call('LINDEX', key, field)
else
  is = old
end
if is ~= old then
  return 0
end
local at = 4
while at <= #ARGV do
  local n = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + n))
  at = at + n + 1
end
return 1
`)

// Apply carries out the strike. It returns false if the element has changed since it was chosen.
func (s Strike) Apply(ctx context.Context, rdb redis.UniversalClient) (bool, error) {
	kind := s.Kind
	if s.Whole || s.Old == "" && s.How == added {
		kind = ""
	}
	args := []any{kind, s.Field, s.Old}
	if kind == "" {
		args[2] = ""
	}
	for _, c := range s.commands {
		args = append(append(args, len(c)), c...)
	}
	n, err := strike.Run(ctx, rdb, []string{s.Key}, args...).Int()
	return n == 1, err
}

func (s Strike) hash(ctx context.Context, rdb redis.UniversalClient, rnd *rand.Rand) (Strike, bool, error) {
	all, err := rdb.HGetAll(ctx, s.Key).Result()
	if err != nil || len(all) == 0 {
		return s, false, ignoreMissing(err)
	}
	fields := make([]string, 0, len(all))
	for f := range all {
		fields = append(fields, f)
	}
	slices.Sort(fields)
	s.Field = fields[rnd.IntN(len(fields))]
	s.Old = all[s.Field]
	switch rnd.IntN(12) {
	case 0:
		s.How = "a field was removed"
		s.do("hdel", s.Key, s.Field)
	case 1:
		s.How = "a field was renamed"
		s.New = name(rnd)
		s.do("hset", s.Key, s.New, s.Old)
		s.do("hdel", s.Key, s.Field)
	case 2:
		s.How = "a field got the value of another field"
		s.New = all[fields[rnd.IntN(len(fields))]]
		s.do("hset", s.Key, s.Field, s.New)
	default:
		s.How, s.New = bytes(rnd, s.Old)
		s.do("hset", s.Key, s.Field, s.New)
	}
	return s, true, nil
}

func (s Strike) list(ctx context.Context, rdb redis.UniversalClient, rnd *rand.Rand) (Strike, bool, error) {
	all, err := rdb.LRange(ctx, s.Key, 0, -1).Result()
	if err != nil || len(all) == 0 {
		return s, false, ignoreMissing(err)
	}
	at := rnd.IntN(len(all))
	s.Field, s.Old = strconv.Itoa(at), all[at]
	switch rnd.IntN(12) {
	case 0:
		s.How = "an element was removed"
		s.do("lset", s.Key, at, "removed by the test")
		s.do("lrem", s.Key, 1, "removed by the test")
	case 1:
		s.How = "an element was duplicated"
		s.New = s.Old
		s.do("rpush", s.Key, s.Old)
	default:
		s.How, s.New = bytes(rnd, s.Old)
		s.do("lset", s.Key, at, s.New)
	}
	return s, true, nil
}

func (s Strike) sorted(ctx context.Context, rdb redis.UniversalClient, rnd *rand.Rand) (Strike, bool, error) {
	all, err := rdb.ZRange(ctx, s.Key, 0, -1).Result()
	if err != nil || len(all) == 0 {
		return s, false, ignoreMissing(err)
	}
	s.Field = all[rnd.IntN(len(all))]
	switch rnd.IntN(4) {
	case 0:
		s.How = "a member was removed"
		s.do("zrem", s.Key, s.Field)
	default:
		s.How, s.New = "a member got another score", score(rnd)
		s.do("zadd", s.Key, s.New, s.Field)
	}
	return s, true, nil
}

func (s Strike) set(ctx context.Context, rdb redis.UniversalClient, rnd *rand.Rand) (Strike, bool, error) {
	all, err := rdb.SMembers(ctx, s.Key).Result()
	if err != nil || len(all) == 0 {
		return s, false, ignoreMissing(err)
	}
	slices.Sort(all)
	s.How, s.Field = "a member was removed", all[rnd.IntN(len(all))]
	s.do("srem", s.Key, s.Field)
	return s, true, nil
}

func (s Strike) text(ctx context.Context, rdb redis.UniversalClient, rnd *rand.Rand) (Strike, bool, error) {
	var err error
	if s.Old, err = rdb.Get(ctx, s.Key).Result(); err != nil {
		return s, false, ignoreMissing(err)
	}
	if rnd.IntN(6) == 0 {
		s.How = "the key was removed"
		s.do("del", s.Key)
	} else {
		s.How, s.New = bytes(rnd, s.Old)
		s.do("set", s.Key, s.New, "keepttl")
	}
	return s, true, nil
}

// ignoreMissing drops the error of a key that was deleted, or changed its type, since it was listed.
func ignoreMissing(err error) error {
	if errors.Is(err, redis.Nil) || err != nil && strings.Contains(err.Error(), "WRONGTYPE") {
		return nil
	}
	return err
}

// bytes returns a damaged form of a value, and describes the damage.
func bytes(rnd *rand.Rand, old string) (how, now string) {
	switch rnd.IntN(6) {
	case 0, 1:
		if len(old) > 0 {
			return "the value was cut short", old[:rnd.IntN(len(old))]
		}
	case 2, 3:
		if len(old) > 0 {
			b := []byte(old)
			for range 1 + rnd.IntN(4) {
				b[rnd.IntN(len(b))] ^= byte(1 + rnd.IntN(255))
			}
			return "some bytes were changed", string(b)
		}
	case 4:
		return "bytes were appended", old + noise(rnd)
	}
	return "the value was replaced", noise(rnd)
}

// noise returns a value that no program has written.
func noise(rnd *rand.Rand) string {
	switch rnd.IntN(5) {
	case 0:
		return number(rnd)
	case 1:
		return ""
	case 2:
		return strings.Repeat(string([]byte{byte(rnd.IntN(256))}), 1+rnd.IntN(400))
	}
	b := make([]byte, 1+rnd.IntN(120))
	for i := range b {
		b[i] = byte(rnd.IntN(256))
	}
	if rnd.IntN(2) == 0 {
		b[0] = byte(rnd.IntN(4)) // a version that programs know
	}
	return string(b)
}

// name returns a random name of a field or member. The id of a task has 16 bytes.
func name(rnd *rand.Rand) string {
	b := make([]byte, []int{0, 1, 15, 16, 16, 17, 18, 40}[rnd.IntN(8)])
	for i := range b {
		b[i] = byte(rnd.IntN(256))
	}
	if rnd.IntN(6) == 0 {
		return number(rnd)
	}
	return string(b)
}

func number(rnd *rand.Rand) string {
	return []string{"nan", "-nan", "inf", "-inf", "1e308", "-1e308", "99999999999999999999", "9223372036854775807", "-1", "0", "1.5", "0x10", " 7", "abc"}[rnd.IntN(14)]
}

func score(rnd *rand.Rand) string {
	now := float64(time.Now().UnixMilli())
	return []string{
		"inf", "-inf", "1e308", "-1e308", "9007199254740993", "9223372036854775807", "-1", "-2", "0", "1.5",
		strconv.FormatFloat(now+0.5, 'f', -1, 64), strconv.FormatFloat(now*1000, 'f', -1, 64),
	}[rnd.IntN(12)]
}

// Keys returns the keys of a namespace, sorted. Such a key begins with the name of the namespace,
// perhaps after a brace.
func Keys(ctx context.Context, rdb redis.UniversalClient, namespace string) ([]string, error) {
	var all []string
	for cursor := uint64(0); ; {
		page, next, err := rdb.Scan(ctx, cursor, "*"+namespace+"*", 1000).Result()
		if err != nil {
			return nil, err
		}
		for _, key := range page {
			if rest := strings.TrimPrefix(key, "{"); strings.HasPrefix(rest, namespace+":") || strings.HasPrefix(rest, namespace+"}") {
				all = append(all, key)
			}
		}
		if cursor = next; cursor == 0 {
			slices.Sort(all)
			return slices.Compact(all), nil
		}
	}
}
