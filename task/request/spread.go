package request

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The option Spread gives each call of a bulk submission a part of a time as a delay. The part depends on the
// other calls, which a request does not know. So whoever sends several calls gives them their places first, by [Spread] or a
// [SpreadSeq]. A request keeps its place, so a call that is sent again has the same delay.

// place is the place of a request among those that are spread: its part of the time of its option.
type place struct {
	taken bool
	part  time.Duration
}

// Spreads reports whether the request has the option Spread, and has no place yet. r may be nil.
func (r *Request) Spreads() bool {
	if r == nil || r.settings.Spread == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.special.place.taken
}

// Alone returns the error of a request that is sent without a place and needs one, or nil. r may be nil.
func (r *Request) Alone() error {
	if !r.Spreads() {
		return nil
	}
	return r.noPlace()
}

func (r *Request) noPlace() error {
	return fmt.Errorf("%s: %w option: Spread has no effect on a call that is sent alone, or as a part of a pipe, group or squad: "+
		"send several calls together by SendAll, Submit or SubmitSeq, or use Delay", r.what(), broker.ErrInvalid)
}

// what names the request in an error.
func (r *Request) what() string {
	if r.special.parts != nil {
		return r.name
	}
	return "task " + r.name
}

// take gives the request a place, unless it has one.
func (r *Request) take(part func(d time.Duration) time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := &r.special.place; !p.taken {
		p.taken, p.part = true, part(r.settings.Spread)
	}
}

// Spread gives places to calls that are sent together. Of n calls that need a place, call number i, from 0, gets i/n of its time.
func Spread[C interface{ Request() *Request }](calls []C) {
	var all []*Request
	for _, call := range calls {
		if any(call) != nil && call.Request().Spreads() {
			all = append(all, call.Request())
		}
	}
	for i, r := range all {
		r.take(func(d time.Duration) time.Duration {
			high, low := bits.Mul64(uint64(d), uint64(i))
			part, _ := bits.Div64(high, low, uint64(len(all))) // less than d, since i is less than their number
			return time.Duration(part)
		})
	}
}

// SpreadSeq gives places to calls whose number is not known: call number i that needs one, from 0, gets the fractional part of i/φ of its time,
// where φ is the golden ratio. However many calls there are, no two parts are equal, and the parts of the calls so far are spread
// evenly. The zero SpreadSeq is ready to use, by one goroutine.
type SpreadSeq struct{ next uint64 }

// golden is 2⁶⁴/φ.
const golden = 0x9E3779B97F4A7C15

// Place gives the request a place if it needs one. r may be nil.
func (s *SpreadSeq) Place(r *Request) {
	if !r.Spreads() {
		return
	}
	r.take(func(d time.Duration) time.Duration {
		part, _ := bits.Mul64(s.next*golden, uint64(d)) // the first product overflows, which leaves the fractional part
		return time.Duration(part)
	})
	s.next++
}
