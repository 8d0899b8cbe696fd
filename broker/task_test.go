package broker_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
)

func TestCheckTask(t *testing.T) {
	limits := broker.Limits{}.WithDefaults()
	valid := func() *broker.Task {
		return &broker.Task{
			ID: broker.NewTaskID("q", ""), Name: "simple_add", Queue: "q", Codec: "json", Payload: []byte(`{"x":1}`),
			Retries: 7, Unique: broker.Unique{Key: "only one"}, Meta: map[string]string{"b": "2", "a": "1"},
		}
	}
	if err := valid().Check(limits); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*broker.Task){
		"name":      func(x *broker.Task) { x.Name = "a b" },
		"queue":     func(x *broker.Task) { x.Queue = strings.Repeat("q", 129) },
		"id":        func(x *broker.Task) { x.ID = broker.ID{} },
		"payload":   func(x *broker.Task) { x.Payload = make([]byte, broker.DefaultMaxPayload+1) },
		"metadata":  func(x *broker.Task) { x.Meta["c"] = strings.Repeat("x", broker.DefaultMaxMeta) },
		"unique":    func(x *broker.Task) { x.Unique.Key = strings.Repeat("x", broker.MaxScopedKey+1) },
		"retries":   func(x *broker.Task) { x.Retries = broker.MaxRetries + 1 },
		"timeout":   func(x *broker.Task) { x.Timeout = broker.NoTimeout - 1 },
		"delay":     func(x *broker.Task) { x.Delay = broker.MaxDuration + 1 },
		"retention": func(x *broker.Task) { x.Retention = -1 },
	} {
		task := valid()
		change(task)
		err := task.Check(limits)
		if !errors.Is(err, broker.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		} else if !strings.Contains(err.Error(), name) && name != "id" && name != "name" {
			t.Errorf("%s: the error does not name it: %v", name, err)
		}
	}
}
