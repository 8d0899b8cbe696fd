package codec

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// jsonWriter encodes values one after the other into buf. It is also the io.Writer of its own encoder,
// which is used again for each value.
type jsonWriter struct {
	buf []byte
	enc *json.Encoder
}

func (w *jsonWriter) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	return len(p), nil
}

// value appends one value.
func (w *jsonWriter) value(v any) error {
	if w.enc == nil {
		w.enc = json.NewEncoder(w)
		w.enc.SetEscapeHTML(false)
	}
	// Encode may call methods of the user's types, which may panic.
	err := rules.Guard("encoding", reflect.TypeOf(v), func() error { return w.enc.Encode(v) })
	if err != nil {
		return jsonEncodeError(err)
	}
	w.buf = w.buf[:len(w.buf)-1] // the newline that Encode adds
	return nil
}

// args appends the struct args as an object by parameter name.
func (w *jsonWriter) args(args any) error {
	v, err := argsValue(args)
	if err != nil {
		return err
	}
	sig, err := signatureOf(v.Type())
	if err != nil {
		return err
	}
	if !v.CanAddr() {
		v = reflect.ValueOf(rules.Receiver(v)).Elem()
	}
	for i := range sig.params {
		p := &sig.params[i]
		// A valid name has no characters that JSON escapes.
		w.buf = append(append(append(w.buf, separator(i)...), p.name...), '"', ':')
		if err := w.value(p.in(v).Addr().Interface()); err != nil {
			return rules.AtName(err, p.name)
		}
	}
	if len(sig.params) == 0 {
		w.buf = append(w.buf, '{')
	}
	w.buf = append(w.buf, '}')
	return nil
}

// separator returns the text before the name of parameter i.
func separator(i int) string {
	if i == 0 {
		return `{"`
	}
	return `,"`
}

// arguments appends an array, or an object with sorted keys.
func (w *jsonWriter) arguments(a Arguments) error {
	if len(a.Named) == 0 {
		return w.positional(a.Positional)
	}
	if _, ok := a.Named[""]; ok {
		return errNoName
	}
	w.buf = append(w.buf, '{')
	if len(a.Positional) > 0 {
		w.buf = append(w.buf, `"":`...)
		if err := w.positional(a.Positional); err != nil {
			return err
		}
		w.buf = append(w.buf, ',')
	}
	for i, name := range slices.Sorted(maps.Keys(a.Named)) {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		if err := w.value(name); err != nil {
			return err
		}
		w.buf = append(w.buf, ':')
		if err := w.value(addressable(a.Named[name])); err != nil {
			return rules.AtName(err, name)
		}
	}
	w.buf = append(w.buf, '}')
	return nil
}

func (w *jsonWriter) positional(values []any) error {
	w.buf = append(w.buf, '[')
	for i, v := range values {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		if err := w.value(addressable(v)); err != nil {
			return rules.AtIndex(err, i)
		}
	}
	w.buf = append(w.buf, ']')
	return nil
}
