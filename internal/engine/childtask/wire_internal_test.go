package childtask

import (
	"context"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/internal/engine/isolate"
)

// A message that can't be read is an error of its job or request, and ends no process.
func TestDamagedMessages(t *testing.T) {
	const says = "message between minion and child"
	var done Done
	if err := unpack(new(Server).run(context.Background(), &isolate.Work{Body: []byte("\xc1")}), &done); err != nil {
		t.Fatal(err)
	}
	if err := done.Err.Unpack(); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("a job: %v, want an error that says %q", err, says)
	}
	for name, query := range map[string][]byte{
		"a request": []byte("\xc1"),
		"a call":    pack(&query{Calls: []prepared{{Task: []byte{255}}}}),
		"a member":  pack(&query{Calls: []prepared{{Members: []prepared{{Task: []byte{255}}}}}}),
	} {
		var r reply
		if err := unpack(answerer{}.answer(context.Background(), query), &r); err != nil {
			t.Fatal(err)
		}
		if err := r.Err.Unpack(); err == nil {
			t.Errorf("%s that can't be read has no error", name)
		}
	}
}
