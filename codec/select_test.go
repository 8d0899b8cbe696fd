package codec_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/codec"
)

type invoice struct {
	Account int64             `arbiter:"account"`
	Month   string            `arbiter:"month"`
	Tags    map[string]string `arbiter:"tags,optional"`
	At      time.Time         `arbiter:"at,optional"`
}

// Equal values have equal bytes, in each form of the arguments; other values have other bytes.
func TestAppendParams(t *testing.T) {
	at := time.Unix(1_700_000_000, 5)
	args := invoice{7, "2026-01", map[string]string{"b": "2", "a": "1", "c": "3"}, at}
	all, err := codec.AppendParams([]byte("x"), args)
	if err != nil || !bytes.HasPrefix(all, []byte("x")) {
		t.Fatal(all, err)
	}
	all = all[1:]
	named := codec.Arguments{Named: map[string]any{
		"tags": map[string]any{"a": "1", "c": "3", "b": "2"}, "month": "2026-01", "account": 7, "at": at.In(time.FixedZone("x", 3600)),
	}}
	for i, same := range []any{&args, named, &named} {
		for range 20 { // the order of a map differs
			if got, err := codec.AppendParams(nil, same); err != nil || !bytes.Equal(got, all) {
				t.Fatalf("form %d: %x, %v, want %x", i, got, err, all)
			}
		}
	}
	some, err := codec.AppendParams(nil, args, "month", "account")
	if err != nil {
		t.Fatal(err)
	}
	// The bytes are a stored format: a key that is held must be found by the next version.
	if got := hex.EncodeToString(some); got != "82a76163636f756e7407a56d6f6e7468a7323032362d3031" {
		t.Errorf("account and month are %s", got)
	}
	for _, same := range []struct {
		args  any
		names []string
	}{
		{args, []string{"account", "month"}}, {named, []string{"account", "month"}},
		{invoice{Account: 7, Month: "2026-01"}, []string{"month", "account", "month"}},
		{codec.Arguments{Named: map[string]any{"account": uint8(7), "month": "2026-01"}}, nil},
	} {
		if got, err := codec.AppendParams(nil, same.args, same.names...); err != nil || !bytes.Equal(got, some) {
			t.Errorf("%+v: %x, %v, want %x", same, got, err, some)
		}
	}
	for _, other := range []any{
		invoice{8, "2026-01", args.Tags, at}, invoice{7, "2026-02", args.Tags, at}, invoice{7, "2026-01", nil, at}, invoice{7, "2026-01", args.Tags, at.Add(1)},
		codec.Arguments{Positional: []any{7, "2026-01", args.Tags, at}}, nil,
	} {
		if got, err := codec.AppendParams(nil, other); err != nil || bytes.Equal(got, all) {
			t.Errorf("%+v: %x, %v, want other bytes", other, got, err)
		}
	}
	one, _ := codec.AppendParams(nil, codec.Arguments{Positional: []any{1, 2}})
	two, _ := codec.AppendParams(nil, codec.Arguments{Positional: []any{2, 1}})
	if bytes.Equal(one, two) {
		t.Error("the order of positional arguments has no effect")
	}
	for _, empty := range []any{nil, struct{}{}, codec.Arguments{}} {
		if got, err := codec.AppendParams(nil, empty); err != nil || hex.EncodeToString(got) != "80" {
			t.Errorf("no arguments (%T) are %x, %v", empty, got, err)
		}
	}
}

func TestAppendParamsErrors(t *testing.T) {
	for _, bad := range []struct {
		args  any
		names []string
		is    error
		says  string
	}{
		{invoice{}, []string{"acount"}, codec.ErrUnknown, "account"},
		{codec.Arguments{Named: map[string]any{"a": 1}}, []string{"b"}, codec.ErrUnknown, "[a]"},
		{codec.Arguments{Positional: []any{1}}, []string{"x"}, codec.ErrUnknown, "by name"},
		{codec.Arguments{Named: map[string]any{"": 1}}, nil, codec.ErrUnsupported, "without a name"},
		{codec.Arguments{Named: map[string]any{"c": make(chan int)}}, nil, codec.ErrUnsupported, "c"},
		{7, nil, codec.ErrType, "int"},
		{struct{ x int }{}, []string{"x"}, codec.ErrUnknown, "x"},
	} {
		got, err := codec.AppendParams([]byte("x"), bad.args, bad.names...)
		if !errors.Is(err, bad.is) || !strings.Contains(err.Error(), bad.says) || string(got) != "x" {
			t.Errorf("%+v, %v: %q, %v", bad.args, bad.names, got, err)
		}
	}
}
