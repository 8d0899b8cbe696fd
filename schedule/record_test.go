package schedule

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
)

// docs/wire.md has every field of a stored schedule.
func TestFieldsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Schedules\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !found {
		t.Fatal("docs/wire.md has no section about schedules")
	}
	for _, of := range []any{record{}, pause{}, fill{}, run{}, definition{}} {
		fields := reflect.TypeOf(of)
		for field := range fields.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "" || !strings.Contains(section, "`"+name+"`") {
				t.Errorf("docs/wire.md does not describe the field %s of %s", field.Name, fields.Name())
			}
		}
	}
}

// The entries of the history are encoded once. The record is the same as if all of it were encoded each time.
func TestHistoryIsEncodedOnce(t *testing.T) {
	t.Parallel()
	s := fresh(t, func(d *Definition) { d.Overlap = OverlapSkip })
	for now := range int64(MaxHistory + 10) {
		s.advance(at(now))
		s.submit()
		if now%5 == 3 {
			s.end(broker.StateFailed, at(now))
		}
		data, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		if want, err := json.Marshal(&s.record); err != nil || string(data) != string(want) {
			t.Fatalf("second %d: the record is\n%s, want\n%s, %v", now, data, want, err)
		}
		read, err := readRecord(&broker.Document{Name: "s", Version: 1, Data: data})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := read.encode(); err != nil || string(again) != string(data) {
			t.Fatalf("second %d: the record that was read is\n%s, want\n%s, %v", now, again, data, err)
		}
		s.record = read.clone().record
	}
	if len(s.History) != MaxHistory {
		t.Errorf("the history has %d entries, want %d", len(s.History), MaxHistory)
	}
	damaged, err := readRecord(&broker.Document{Name: "s", Version: 1, Data: []byte(`{"v":1,"history":[null,{"nominal":1}]}`)})
	if err != nil || len(damaged.history()) != 1 {
		t.Errorf("a history with a null: %+v, %v", damaged, err)
	}
}
