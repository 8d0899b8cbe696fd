package task_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/base/backoff"
	"github.com/go-arbiter/arbiter/task"
)

// Each pause is between half and all of the pause without jitter.
func TestExponential(t *testing.T) {
	for _, tt := range []struct{ base, limit, usedBase, usedLimit time.Duration }{
		{0, 0, task.DefaultBackoffBase, task.DefaultBackoffCap},
		{time.Millisecond, time.Second, time.Millisecond, time.Second},
		{time.Nanosecond, time.Hour, time.Nanosecond, time.Hour},
		{time.Hour, time.Second, time.Hour, time.Second}, // never more than the limit
	} {
		wait := task.Exponential(tt.base, tt.limit)
		for retry := -1; retry < 200; retry++ {
			most := backoff.Most(max(retry-1, 0), tt.usedBase, tt.usedLimit)
			lowest, highest := most, time.Duration(0)
			for range 200 {
				d := wait(retry, nil)
				lowest, highest = min(lowest, d), max(highest, d)
			}
			if lowest < most/2 || highest > most {
				t.Fatalf("Exponential(%v, %v) before retry %d: pauses of %v to %v, want %v to %v", tt.base, tt.limit, retry, lowest, highest, most/2, most)
			}
			if most > time.Millisecond && (lowest > most*6/10 || highest < most*9/10) { // 200 random pauses miss a fifth of the range with probability 2⁻⁶⁴
				t.Errorf("Exponential(%v, %v) before retry %d: pauses only of %v to %v, want all of %v to %v", tt.base, tt.limit, retry, lowest, highest, most/2, most)
			}
		}
	}
}

// The default policy survives an outage of an hour, and gives up within three hours.
func TestDefaultCoverage(t *testing.T) {
	if least, most := coverage(task.DefaultMaxRetries); least < time.Hour || most > 3*time.Hour {
		t.Errorf("%d retries take %v to %v", task.DefaultMaxRetries, least, most)
	}
}

// coverage returns the shortest and longest time that so many retries with the default backoff take.
func coverage(retries int) (least, most time.Duration) {
	for try := range retries {
		d := backoff.Most(try, task.DefaultBackoffBase, task.DefaultBackoffCap)
		least, most = least+d/2, most+d
	}
	return least, most
}

// The tables in the documentation have the numbers of the code.
func TestTableOfRetries(t *testing.T) {
	row := regexp.MustCompile(`(?m)^(?://\t|\|)\s*(\d+)(?: \(default\))?[\s|]+([\dhms.]+)[\s|]+([\dhms.]+)[\s|]+([\dhms.]+)`)
	for _, file := range []string{"policy.go", "../docs/retries.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		rows := row.FindAllStringSubmatch(string(text), -1)
		hasDefault := false
		for _, r := range rows {
			retries, err := strconv.Atoi(r[1])
			if err != nil {
				t.Fatal(err)
			}
			hasDefault = hasDefault || retries == task.DefaultMaxRetries
			least, most := coverage(retries)
			want := fmt.Sprint(short(least), short((least+most)/2), short(most))
			if got := fmt.Sprint(strings.Join(r[2:5], " ")); got != want {
				t.Errorf("%s: %d retries take %s, want %s", file, retries, got, want)
			}
		}
		if len(rows) < 8 || !hasDefault {
			t.Errorf("%s: a table of %d rows, want 8 or more, with the default", file, len(rows))
		}
	}
}

func short(d time.Duration) time.Duration {
	if d < time.Minute {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}
