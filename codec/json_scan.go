package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// jsonOne returns data without the whitespace around its value. It checks that data is one valid value
// that is not nested too deeply. The other functions of this file rely on that.
func jsonOne(data []byte) ([]byte, error) {
	if !json.Valid(data) {
		return nil, jsonInvalid(data)
	}
	return bytes.TrimSpace(data), jsonDepth(data)
}

// jsonInvalid returns the error for data that is not valid JSON.
func jsonInvalid(data []byte) error {
	var first json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(data))
	err := dec.Decode(&first)
	switch {
	case err == nil:
		return rules.Because(ErrTrailing, "%d bytes after the value", int64(len(data))-dec.InputOffset())
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTruncated
	}
	at := dec.InputOffset()
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = e.Offset
	}
	return rules.Because(ErrSyntax, "malformed input at byte %d", at)
}

// jsonDepth returns an error if raw is nested too deeply.
func jsonDepth(raw []byte) error {
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i = jsonEnd(raw, i) - 1
		case '{', '[':
			if depth++; depth > rules.MaxDepth {
				return ErrTooDeep
			}
		case '}', ']':
			depth--
		}
	}
	return nil
}

// jsonKind returns the kind of the value raw, by its name in errors of encoding/json.
func jsonKind(raw []byte) string {
	switch raw[0] {
	case '"':
		return "string"
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "bool"
	case 'n':
		return "null"
	}
	return "number"
}

// jsonChild is a value in an array or object.
type jsonChild struct {
	key []byte // with its quotes; nil in an array
	raw []byte // the value
	at  int    // the index of raw in the array or object
}

// name returns the decoded key.
func (c jsonChild) name() string { return string(jsonText(c.key)) }

// jsonChildren returns the values in raw, which must be an array or object.
func jsonChildren(raw []byte) iter.Seq[jsonChild] {
	return func(yield func(jsonChild) bool) {
		for i := 1; ; {
			if i = jsonNext(raw, i); raw[i] == ']' || raw[i] == '}' {
				return
			}
			var c jsonChild
			if raw[0] == '{' {
				end := jsonEnd(raw, i)
				c.key = raw[i:end]
				i = jsonSpace(raw, jsonSpace(raw, end)+1) // over the colon
			}
			end := jsonEnd(raw, i)
			c.raw, c.at = raw[i:end], i
			if !yield(c) {
				return
			}
			i = end
		}
	}
}

// jsonSpace returns the index of the first byte in raw[i:] that is not whitespace.
func jsonSpace(raw []byte, i int) int {
	for raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\n' || raw[i] == '\r' {
		i++
	}
	return i
}

// jsonEnd returns the end of the value that begins at raw[i].
func jsonEnd(raw []byte, i int) int {
	switch raw[i] {
	case '"':
		for i++; raw[i] != '"'; i++ {
			if raw[i] == '\\' {
				i++
			}
		}
		return i + 1
	case '{', '[':
		for depth := 0; ; i++ {
			switch raw[i] {
			case '"':
				i = jsonEnd(raw, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	for i < len(raw) && strings.IndexByte(",]}: \t\r\n", raw[i]) < 0 {
		i++
	}
	return i
}

// jsonPath returns the path to the value in raw that encoding/json has read just before offset, when it
// decoded raw into a value of type t. The path has the names of fields, and the positions of map entries,
// since keys are values.
func jsonPath(raw []byte, offset int, t reflect.Type) string {
	path := ""
	for {
		c, i, ok := jsonChildAt(raw, offset)
		switch {
		case !ok:
			return path
		case c.key == nil:
			path += "[" + strconv.Itoa(i) + "]"
			t = jsonElem(t)
		default:
			f := jsonFieldOf(t, c.name())
			if f != nil {
				path, t = path+rules.NameSegment(f.Name), f.Type
			} else {
				path, t = path+rules.EntrySegment(i), jsonElem(t)
			}
		}
		if len(path) > rules.MaxPath {
			return path
		}
		raw, offset = c.raw, offset-c.at
	}
}

// jsonElem returns the type of the elements of t. It is nil if t has none or is nil.
func jsonElem(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Slice && t.Kind() != reflect.Array && t.Kind() != reflect.Map {
		return nil
	}
	return t.Elem()
}

// jsonFieldOf returns the field of t that encoding/json decodes the name into. It is nil if t is not a
// struct or has no such field.
func jsonFieldOf(t reflect.Type, name string) *rules.Field {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	return jsonFieldsOf(t).find(name)
}

// jsonChildAt returns the value in raw that contains the offset, with its index.
func jsonChildAt(raw []byte, offset int) (found jsonChild, i int, ok bool) {
	// The offset 1 is just after the opening bracket, so the error is about raw as a whole.
	if offset <= 1 || raw[0] != '{' && raw[0] != '[' {
		return found, 0, false
	}
	for c := range jsonChildren(raw) {
		if offset <= c.at+len(c.raw) {
			return c, i, true
		}
		i++
	}
	return found, 0, false
}
