package wire

import (
	"bytes"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// usualTask returns a task like most: a short payload, an inbox, and the defaults for
// everything else.
func usualTask() *broker.Task {
	return &broker.Task{
		ID: fixedID(1), Name: "orders.confirm", Queue: "q", Codec: "msgpack", Payload: bytes.Repeat([]byte{1}, 64),
		Inbox: fixedID(33), Retries: broker.DefaultRetries, Retention: broker.DefaultRetention, DeadFor: broker.DefaultDeadRetention,
		Enqueued: time.UnixMilli(1_700_000_000_123),
	}
}

func usualOutcome() *broker.Outcome {
	at := time.UnixMilli(1_700_000_000_123).UTC()
	return &broker.Outcome{
		State: broker.StateSucceeded, Codec: "msgpack", Result: bytes.Repeat([]byte{1}, 16), Name: "orders.confirm", Attempts: 1,
		Minion: fixedID(9), Enqueued: at, Started: at.Add(time.Second), Finished: at.Add(2 * time.Second),
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	for name, task := range map[string]*broker.Task{"usual": usualTask(), "full": fullTask()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for range b.N {
				dst = AppendRecord(dst[:0], task)
			}
		})
	}
}

// The record begins as a string, like a reply of a server.
func BenchmarkParseRecord(b *testing.B) {
	for name, task := range map[string]*broker.Task{"usual": usualTask(), "full": fullTask()} {
		record := string(AppendRecord(nil, task))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				var d broker.Delivery
				if err := ParseRecord(&d, []byte(record), 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendOutcome(b *testing.B) {
	for name, o := range map[string]*broker.Outcome{"usual": usualOutcome(), "failed": outcomes()["outcome_failed"]} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for range b.N {
				dst = AppendOutcome(dst[:0], o)
			}
		})
	}
}

func BenchmarkParseOutcome(b *testing.B) {
	for name, o := range map[string]*broker.Outcome{"usual": usualOutcome(), "failed": outcomes()["outcome_failed"]} {
		record := string(AppendOutcome(nil, o))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if _, err := ParseOutcome([]byte(record)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
