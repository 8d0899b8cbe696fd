package codec

import (
	"bytes"
	"encoding/json"
	"math"

	"github.com/go-arbiter/arbiter/codec/internal/packed"
	"github.com/go-arbiter/arbiter/codec/internal/rules"
	"github.com/go-arbiter/arbiter/internal/base/msgp"
)

// Combiner is an optional capability of a [Codec]: it combines encoded values without knowing their types.
// Groups and pipes turn results into arguments with it. [Msgpack] and [JSON] have it. Both methods return
// dst unchanged on error, and check that their inputs are valid encodings.
type Combiner interface {
	// AppendArray appends an array of encoded values. A nil slice in values becomes the codec's
	// nil.
	AppendArray(dst []byte, values [][]byte) ([]byte, error)

	// AppendArg appends the encoded arguments args with one more argument, an encoded value. The
	// name must be valid for a parameter, and must not be among args.
	AppendArg(dst, args []byte, name string, value []byte) ([]byte, error)
}

var (
	_ Combiner = msgpackCodec{}
	_ Combiner = jsonCodec{}
)

func badArgName(name string) error {
	return rules.Because(ErrUnsupported, "%q cannot be the name of a parameter", rules.Shorten(name))
}

func (msgpackCodec) AppendArray(dst []byte, values [][]byte) ([]byte, error) {
	out, err := packed.AppendArrayHead(dst, len(values))
	for i := 0; err == nil && i < len(values); i++ {
		if values[i] == nil {
			out = append(out, msgp.Nil)
			continue
		}
		if err = oneValue(values[i], 1); err != nil {
			err = rules.AtIndex(err, i)
		}
		out = append(out, values[i]...)
	}
	if err != nil {
		return dst, finish(msgpackName, err)
	}
	return out, nil
}

// oneValue checks that data is exactly one value, which will be nested at that depth.
func oneValue(data []byte, depth int) error {
	rest, err := msgp.Skip(data, depth)
	if err == nil && len(rest) > 0 {
		err = rules.Because(ErrTrailing, "%d bytes after the value", len(rest))
	}
	return err
}

func (msgpackCodec) AppendArg(dst, args []byte, name string, value []byte) ([]byte, error) {
	out, err := appendArg(dst, args, name, value)
	if err != nil {
		return dst, finish(msgpackName, err)
	}
	return out, nil
}

func appendArg(dst, args []byte, name string, value []byte) ([]byte, error) {
	if !rules.ValidName(name) {
		return dst, badArgName(name)
	}
	if err := oneValue(value, 1); err != nil {
		return dst, rules.AtName(err, name)
	}
	var err error
	switch f := formOf(args); f {
	case msgp.FamArray: // positional arguments go under the empty key
		if err = oneValue(args, 1); err != nil {
			return dst, err
		}
		n, _, _ := msgp.TakeArrayHead(args)
		if n == 0 {
			dst, _ = packed.AppendMapHead(dst, 1)
			break
		}
		dst, _ = packed.AppendMapHead(dst, 2)
		dst, _ = packed.AppendString(dst, "")
		dst = append(dst, args...)
	case msgp.FamMap:
		n, entries, err := msgp.TakeMapHead(args)
		if err == nil {
			err = checkEntries(entries, n, name)
		}
		if err == nil && uint64(n) >= math.MaxUint32 {
			err = rules.Because(ErrOverflow, "more arguments than a map can have")
		}
		if err != nil {
			return dst, err
		}
		dst, _ = packed.AppendMapHead(dst, n+1)
		dst = append(dst, entries...)
	default:
		return dst, badForm(args, f)
	}
	if dst, err = packed.AppendString(dst, name); err != nil {
		return dst, err
	}
	return append(dst, value...), nil
}

// checkEntries checks that in has exactly n map entries, and that none has the key name.
func checkEntries(in []byte, n int, name string) error {
	for range n {
		key, rest, err := packed.TakeName(in)
		if err != nil {
			return err
		}
		if string(key) == name {
			return rules.AtName(ErrDuplicate, name)
		}
		if in, err = msgp.Skip(rest, 1); err != nil {
			return err
		}
	}
	if len(in) > 0 {
		return rules.Because(ErrTrailing, "%d bytes after the value", len(in))
	}
	return nil
}

func (jsonCodec) AppendArray(dst []byte, values [][]byte) ([]byte, error) {
	out := append(dst, '[')
	for i, v := range values {
		if i > 0 {
			out = append(out, ',')
		}
		if v == nil {
			out = append(out, "null"...)
			continue
		}
		one, err := jsonOne(v)
		if err != nil {
			return dst, finish(jsonName, rules.AtIndex(err, i))
		}
		out = append(out, one...)
	}
	out = append(out, ']')
	if err := jsonDepth(out[len(dst):]); err != nil {
		return dst, finish(jsonName, err)
	}
	return out, nil
}

func (jsonCodec) AppendArg(dst, args []byte, name string, value []byte) ([]byte, error) {
	out, err := jsonAppendArg(dst, args, name, value)
	if err == nil {
		err = jsonDepth(out[len(dst):])
	}
	if err != nil {
		return dst, finish(jsonName, err)
	}
	return out, nil
}

func jsonAppendArg(dst, args []byte, name string, value []byte) ([]byte, error) {
	if !rules.ValidName(name) {
		return dst, badArgName(name)
	}
	value, err := jsonOne(value)
	if err != nil {
		return dst, rules.AtName(err, name)
	}
	if args, err = jsonOne(args); err != nil {
		return dst, err
	}
	empty := len(bytes.TrimSpace(args[1:len(args)-min(1, len(args)-1)])) == 0
	switch args[0] {
	case '[':
		dst = append(dst, '{')
		if !empty {
			dst = append(append(append(dst, `"":`...), args...), ',')
		}
	case '{':
		for c := range jsonChildren(args) {
			if c.name() == name {
				return dst, rules.AtName(ErrDuplicate, name)
			}
		}
		dst = append(dst, args[:len(args)-1]...)
		if !empty {
			dst = append(dst, ',')
		}
	default:
		return dst, rules.Because(ErrType, "found %s, want an array or an object of arguments", jsonKind(args))
	}
	quoted, err := json.Marshal(name)
	if err != nil {
		return dst, err
	}
	dst = append(append(dst, quoted...), ':')
	return append(append(dst, value...), '}'), nil
}
