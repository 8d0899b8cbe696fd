package wire

import (
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

func lastFailure() *broker.LastFailure {
	return &broker.LastFailure{
		Err:     broker.Failure{Type: "*fs.PathError", Message: "no", Stack: "here", Chain: []string{"a", "b"}, Codes: []string{"c"}},
		Attempt: 3, At: time.UnixMilli(1_700_000_000_123).UTC(),
	}
}

func TestGoldenLastFailure(t *testing.T) {
	want := lastFailure()
	name, got, err := ParseLastFailure(golden(t, "last_failure", AppendLastFailure(nil, "simple_add", want)))
	if err != nil || name != "simple_add" || !reflect.DeepEqual(&got, want) {
		t.Errorf("%s, %+v, %v", name, got, err)
	}
}

func TestGoldenMeta(t *testing.T) {
	want := map[string]string{"b": "2", "a": "1", "": "\xff\x00"}
	got, err := ParseMeta(golden(t, "meta", AppendMeta(nil, want)))
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

// The bytes that a script copies out of a message are a record of metadata.
func TestMetaSpan(t *testing.T) {
	for _, task := range []*broker.Task{fullTask(), smallTask(), {Name: "n", Meta: map[string]string{"k": strings.Repeat("v", 4000)}}} {
		record := AppendRecord([]byte("before"), task)[len("before"):]
		from, to := MetaSpan(record)
		if len(task.Meta) == 0 {
			if from != 0 || to != 0 {
				t.Errorf("a message without metadata has it at %d to %d", from, to)
			}
			continue
		}
		meta, err := ParseMeta(append([]byte{RecordVersion}, record[from:to]...))
		if err != nil || !maps.Equal(meta, task.Meta) {
			t.Errorf("%v, %v, want %v", meta, err, task.Meta)
		}
	}
}

// The name is found in the first bytes, whatever comes after it.
func TestRecordName(t *testing.T) {
	for _, name := range []string{"n", strings.Repeat("n", 31), strings.Repeat("n", 32), strings.Repeat("n", broker.MaxName)} {
		for _, task := range []*broker.Task{fullTask(), smallTask()} {
			task.Name = name
			task.Payload = make([]byte, 1000)
			record := AppendRecord(nil, task)
			if got := RecordName(record[:NameWithin]); got != name {
				t.Errorf("%q, want %q", got, name)
			}
			if got := RecordName(record[:HeadSize]); got != "" {
				t.Errorf("the name in a head without a body: %q, want none", got)
			}
		}
	}
}

// Other bytes give an error and never a panic.
func TestMalformedAbout(t *testing.T) {
	failure, meta := AppendLastFailure(nil, "n", lastFailure()), AppendMeta(nil, map[string]string{"k": "v"})
	for n := range failure {
		if _, _, err := ParseLastFailure(failure[:n]); !errors.Is(err, broker.ErrMalformed) {
			t.Errorf("%d bytes of a failure: %v", n, err)
		}
	}
	for n := range meta {
		if _, err := ParseMeta(meta[:n]); !errors.Is(err, broker.ErrMalformed) {
			t.Errorf("%d bytes of metadata: %v", n, err)
		}
	}
	failure[0], meta[0] = 2, 2
	if _, _, err := ParseLastFailure(failure); !errors.Is(err, broker.ErrVersion) {
		t.Error(err)
	}
	if _, err := ParseMeta(meta); !errors.Is(err, broker.ErrVersion) {
		t.Error(err)
	}
}

func FuzzParseAbout(f *testing.F) {
	f.Add(AppendLastFailure(nil, "n", lastFailure()))
	f.Add(AppendMeta(nil, map[string]string{"k": "v"}))
	f.Add(AppendRecord(nil, fullTask()))
	f.Fuzz(func(t *testing.T, data []byte) {
		if name, l, err := ParseLastFailure(data); err == nil {
			again, l2, err := ParseLastFailure(AppendLastFailure(nil, name, &l))
			l.Err.Trim()
			if err != nil || again != name || !reflect.DeepEqual(l, l2) {
				t.Errorf("%q %+v, then %q %+v, %v", name, l, again, l2, err)
			}
		}
		if meta, err := ParseMeta(data); err == nil {
			if again, err := ParseMeta(AppendMeta(nil, meta)); err != nil || !maps.Equal(again, meta) {
				t.Errorf("%v, then %v, %v", meta, again, err)
			}
		}
		if from, to := MetaSpan(data); from > to || to > len(data) {
			t.Errorf("%d to %d of %d bytes", from, to, len(data))
		}
		_ = RecordName(data)
	})
}
