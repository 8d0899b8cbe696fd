package codec

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// jsonAny decodes the value that begins at raw[i] as for the type any, and returns its end. It reads each
// byte once, at any depth.
func jsonAny(raw []byte, i int) (v any, end int, err error) {
	switch raw[i] {
	case '{':
		m := make(map[string]any)
		n := 0
		for i = jsonSpace(raw, i+1); raw[i] != '}'; i = jsonNext(raw, i) {
			end := jsonEnd(raw, i)
			name := string(jsonText(raw[i:end]))
			i = jsonSpace(raw, jsonSpace(raw, end)+1) // over the colon
			if m[name], i, err = jsonAny(raw, i); err != nil {
				return nil, 0, rules.AtEntry(err, n)
			}
			n++
		}
		return m, i + 1, nil
	case '[':
		s := []any{}
		for i = jsonSpace(raw, i+1); raw[i] != ']'; i = jsonNext(raw, i) {
			var v any
			if v, i, err = jsonAny(raw, i); err != nil {
				return nil, 0, rules.AtIndex(err, len(s))
			}
			s = append(s, v)
		}
		return s, i + 1, nil
	}
	end = jsonEnd(raw, i)
	switch raw[i] {
	case '"':
		return string(jsonText(raw[i:end])), end, nil
	case 't', 'f':
		return raw[i] == 't', end, nil
	case 'n':
		return nil, end, nil
	}
	v, err = plainNumber(string(raw[i:end]))
	return v, end, err
}

// jsonNext returns the index of the next value or closing bracket, after a value that ends at raw[i].
func jsonNext(raw []byte, i int) int {
	if i = jsonSpace(raw, i); raw[i] == ',' {
		i = jsonSpace(raw, i+1)
	}
	return i
}

// jsonText returns the string that the valid JSON string quoted encodes.
func jsonText(quoted []byte) []byte {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return inner
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // cannot fail: it is valid
	return []byte(s)
}

// plainNumbers converts each json.Number inside an any in v to int64, uint64 or float64. The value v was
// just decoded, so it is a tree without cycles.
func plainNumbers(v reflect.Value) error {
	if !traitsOf(v.Type()).any {
		return nil
	}
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return nil
		}
		plain, err := plainAny(v.Interface())
		if err != nil {
			return err
		}
		v.Set(reflect.ValueOf(plain))
	case reflect.Pointer:
		if !v.IsNil() {
			return plainNumbers(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := plainNumbers(v.Index(i)); err != nil {
				return rules.AtIndex(err, i)
			}
		}
	case reflect.Map:
		elem := reflect.New(v.Type().Elem()).Elem()
		for iter := v.MapRange(); iter.Next(); {
			elem.SetIterValue(iter)
			if err := plainNumbers(elem); err != nil {
				return rules.AtSomeEntry(err)
			}
			v.SetMapIndex(iter.Key(), elem)
		}
	case reflect.Struct:
		return plainFields(v)
	}
	return nil
}

// plainFields does plainNumbers for the fields of a struct.
func plainFields(v reflect.Value) error {
	for i, t := 0, v.Type(); i < t.NumField(); i++ {
		sf := t.Field(i)
		f, ok := rules.FieldOf(sf, []string{"json"})
		if !ok || !sf.IsExported() && !sf.Anonymous {
			continue
		}
		err := plainNumbers(v.Field(i))
		if err != nil && sf.Anonymous && !f.Tagged {
			return err
		}
		if err != nil {
			return rules.AtName(err, f.Name)
		}
	}
	return nil
}

// plainAny does plainNumbers for a value that encoding/json has put into an any.
func plainAny(v any) (_ any, err error) {
	switch v := v.(type) {
	case json.Number:
		return plainNumber(string(v))
	case []any:
		for i := range v {
			if v[i], err = plainAny(v[i]); err != nil {
				return nil, rules.AtIndex(err, i)
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = plainAny(v[k]); err != nil {
				return nil, rules.AtSomeEntry(err)
			}
		}
	}
	return v, nil
}

func plainNumber(s string) (any, error) {
	if !strings.ContainsAny(s, ".eE") {
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return i, nil
		}
		if u, err := strconv.ParseUint(s, 10, 64); err == nil {
			return u, nil
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, rules.Overflows(s, reflect.TypeFor[float64]())
	}
	return f, nil
}
