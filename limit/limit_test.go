package limit_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/optionlist"
	"github.com/go-arbiter/arbiter/limit"
)

// Each constructor makes the definition that its words say.
func TestDefinitions(t *testing.T) {
	for text, tt := range map[string]struct {
		limit limit.Limit
		want  broker.Limit
	}{
		"render: 10 at once": {limit.Concurrency("render", 10), broker.Limit{Name: "render", Most: 10}},
		"mail: 100 per 1s, burst 5": {
			limit.Rate("mail", 100, time.Second), broker.Limit{Name: "mail", Rate: 100, Per: time.Second},
		},
		"mail: 100 per 1s, burst 20": {
			limit.Rate("mail", 100, time.Second, nil, limit.Burst(20)), broker.Limit{Name: "mail", Rate: 100, Per: time.Second, Burst: 20},
		},
		`render for key "acme": 10 at once`: {
			limit.ForKey("acme", limit.Concurrency("render", 10)), broker.Limit{Name: "render", Key: "acme", Most: 10},
		},
		"render: 10 at once, paused": {
			limit.Paused(limit.Concurrency("render", 10)), broker.Limit{Name: "render", Most: 10, Paused: true},
		},
		"mail: paused": {limit.Paused(limit.Named("mail")), broker.Limit{Name: "mail", Paused: true}},
		"mail: 7 at once": {
			limit.Resumed(limit.Of(broker.Limit{Name: "mail", Most: 7, Paused: true})), broker.Limit{Name: "mail", Most: 7},
		},
	} {
		if got, err := tt.limit.Definition(); got != tt.want || err != nil {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, tt.want)
		}
		if got := tt.limit.String(); got != text {
			t.Errorf("%q, want %q", got, text)
		}
	}
	if got := limit.Named("mail").String(); got != "mail: no number" {
		t.Errorf("%q of a definition without a number", got)
	}
}

// An error names the limit and the remedy.
func TestErrors(t *testing.T) {
	for want, l := range map[string]limit.Limit{
		"limit x: invalid: Concurrency with 0, want 1 or more; to stop the tasks for a while use Paused": limit.Concurrency("x", 0),
		"limit x: invalid: Rate with -1, want 1 or more":                                                 limit.Rate("x", -1, time.Second),
		"limit x: invalid: Burst(0), want 1 or more; leave it out for the default":                       limit.Rate("x", 1, time.Second, limit.Burst(0)),
		"limit x: invalid: ForKey with an empty key":                                                     limit.ForKey("", limit.Concurrency("x", 1)),
		"limit x: invalid: key of 256 bytes":                                                             limit.ForKey(strings.Repeat("k", 256), limit.Concurrency("x", 1)),
		"limit x: invalid: a rate per 0s":                                                                limit.Rate("x", 1, 0),
		"limit x: invalid: a number over":                                                                limit.Concurrency("x", broker.MaxLimit+1),
		"limit x: invalid: a limit of 0 would stop its tasks":                                            limit.Named("x"),
		"a b": limit.Concurrency("a b", 1),
	} {
		if _, err := l.Definition(); !errors.Is(err, broker.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want ErrInvalid with %q", err, want)
		}
	}
	if _, err := (limit.Limit{}).Definition(); !errors.Is(err, broker.ErrInvalid) {
		t.Errorf("the zero Limit: error %v", err)
	}
}

// Each option has a test of its effect.
func TestOptionsHaveTests(t *testing.T) {
	if err := optionlist.Check(".", map[string]string{"Burst": "TestDefinitions"}); err != nil {
		t.Error(err)
	}
}
