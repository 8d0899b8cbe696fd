package codec_test

import (
	"strconv"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/go-arbiter/arbiter/codec"
)

type addArgs struct {
	X int `arbiter:"x"`
	Y int `arbiter:"y"`
}

type mailArgs struct {
	To      []string          `arbiter:"to"`
	Subject string            `arbiter:"subject"`
	Body    []byte            `arbiter:"body"`
	Headers map[string]string `arbiter:"headers,optional"`
	Retry   struct {
		Max  int     `json:"max"`
		Wait float64 `json:"wait"`
	} `arbiter:"retry"`
}

func mail() *mailArgs {
	m := &mailArgs{
		To:      []string{"ada@example.org", "grace@example.org"},
		Subject: "Your report",
		Body:    make([]byte, 256),
		Headers: map[string]string{"Reply-To": "noreply@example.org", "X-Campaign": "autumn"},
	}
	m.Retry.Max, m.Retry.Wait = 5, 1.5
	return m
}

func BenchmarkAppendArgs(b *testing.B) {
	var small any = addArgs{X: 1, Y: 200}
	var big any = mail()
	var untyped any = codec.Arguments{Positional: []any{1, 200}}
	for _, c := range []codec.Codec{codec.Msgpack(), codec.JSON()} {
		for _, arg := range []struct {
			name string
			v    any
		}{{"XY", small}, {"Mail", big}, {"Arguments", untyped}} {
			b.Run(c.Name()+"/"+arg.name, func(b *testing.B) {
				b.ReportAllocs()
				buf := make([]byte, 0, 1024)
				for b.Loop() {
					if _, err := c.AppendArgs(buf, arg.v); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkDecodeArgs(b *testing.B) {
	for _, c := range []codec.Codec{codec.Msgpack(), codec.JSON()} {
		for _, arg := range []struct {
			name         string
			source, dest any
		}{
			{"XY", addArgs{X: 1, Y: 200}, new(addArgs)},
			{"XYPositional", codec.Arguments{Positional: []any{1, 200}}, new(addArgs)},
			{"Mail", mail(), new(mailArgs)},
			{"Arguments", addArgs{X: 1, Y: 200}, new(codec.Arguments)},
		} {
			data, err := c.AppendArgs(nil, arg.source)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(c.Name()+"/"+arg.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := c.DecodeArgs(data, arg.dest); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkValue(b *testing.B) {
	for _, c := range []codec.Codec{codec.Msgpack(), codec.JSON()} {
		var result any = 123456
		b.Run(c.Name()+"/AppendInt", func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 0, 64)
			for b.Loop() {
				if _, err := c.AppendValue(buf, result); err != nil {
					b.Fatal(err)
				}
			}
		})
		data, err := c.AppendValue(nil, result)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.Name()+"/DecodeInt", func(b *testing.B) {
			b.ReportAllocs()
			var n int
			for b.Loop() {
				if err := c.DecodeValue(data, &n); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.Name()+"/DecodeAny", func(b *testing.B) {
			b.ReportAllocs()
			var v any
			for b.Loop() {
				if err := c.DecodeValue(data, &v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLibrary compares the codec with the msgpack library, which does not check what the codec
// checks. docs/decisions.md has the figures.
func BenchmarkLibrary(b *testing.B) {
	entries := make(map[string]int)
	for i := range 1000 {
		entries[strconv.Itoa(i)] = i
	}
	numbers := make([]int, 10_000)
	for i := range numbers {
		numbers[i] = i * i
	}
	c := codec.Msgpack()
	for _, v := range []struct {
		name      string
		get, dest any
	}{
		{"two ints", &addArgs{X: 1, Y: 200}, new(addArgs)},
		{"mail", mail(), new(mailArgs)},
		{"map of 1,000", &entries, new(map[string]int)},
		{"slice of 10,000", &numbers, new([]int)},
	} {
		data, err := c.AppendValue(nil, v.get)
		if err != nil {
			b.Fatal(err)
		}
		for name, f := range map[string]func() error{
			"encode/codec":   func() error { _, err := c.AppendValue(data[:0], v.get); return err },
			"encode/library": func() error { _, err := msgpack.Marshal(v.get); return err },
			"decode/codec":   func() error { return c.DecodeValue(data, v.dest) },
			"decode/library": func() error { return msgpack.Unmarshal(data, v.dest) },
		} {
			b.Run(v.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
