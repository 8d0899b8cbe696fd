package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

var eventTests = []test{
	{"InOrder", eventsInOrder, 0},
	{"FromNow", eventsFromNow, 0},
	{"FromTheStart", eventsFromStart, 0},
	{"FromACursor", eventsFromCursor, 0},
	{"ResumeLosesNothing", eventsResume, 0},
	{"EachSubscriber", eventsEachSubscriber, 0},
	{"TopicsAreIndependent", eventsTopics, 0},
	{"Soon", eventsSoon, 0},
	{"Bytes", eventsBytes, 0},
	{"Many", eventsMany, 0},
	{"BelongToTheCaller", eventsBelong, 0},
	{"ContextEnds", eventsContextEnds, 0},
	{"CloseEndsReceive", eventsClose, 0},
	{"Limits", eventsLimits, 0},
	{"MissedAfterRetention", eventsMissedAfterRetention, needJump},
	{"MissedAfterOverflow", eventsMissedAfterOverflow, needHeavy},
}

// reader is a subscription in a test.
type reader struct {
	broker.Subscription
	r      *rig
	topic  string
	read   []broker.Event
	missed bool
}

func (r *rig) subscribe(topic string, after broker.Cursor) *reader {
	r.Helper()
	return r.subscribeAt(r.Broker, topic, after)
}

func (r *rig) subscribeAt(b broker.Broker, topic string, after broker.Cursor) *reader {
	r.Helper()
	s, err := b.Subscribe(r.ctx, topic, after)
	if err != nil {
		r.Fatalf("Subscribe: %v", err)
	}
	return &reader{Subscription: s, r: r, topic: topic}
}

// publish publishes events, which must succeed.
func (r *rig) publish(topic string, payloads ...string) {
	r.Helper()
	var events []broker.Event
	for _, p := range payloads {
		events = append(events, broker.Event{Topic: topic, Payload: []byte(p)})
	}
	if err := r.Broker.Publish(r.ctx, events); err != nil {
		r.Fatalf("Publish: %v", err)
	}
}

// receive waits for events until ctx ends at the latest, and reports whether it got some.
func (s *reader) receive(ctx context.Context) bool {
	s.r.Helper()
	events, missed, err := s.Receive(ctx)
	switch {
	case err != nil:
		if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
			s.r.Fatalf("Receive: %v", err)
		}
		return false
	case len(events) == 0 && !missed:
		s.r.Fatalf("Receive returned no events, and missed is false")
	}
	for _, e := range events {
		if e.Topic != s.topic || e.Cursor == "" || e.Cursor == broker.CursorNow {
			s.r.Fatalf("Receive returned an event of topic %q with cursor %q", e.Topic, e.Cursor)
		}
	}
	s.read = append(s.read, events...)
	s.missed = s.missed || missed
	return true
}

func (s *reader) take(n int) []broker.Event {
	s.r.Helper()
	ctx, cancel := context.WithTimeout(s.r.ctx, patience)
	defer cancel()
	for len(s.read) < n {
		if !s.receive(ctx) {
			s.r.Fatalf("received %d events, want %d", len(s.read), n)
		}
	}
	events := s.read[:n:n]
	s.read = s.read[n:]
	return events
}

// gets checks the next events, and that no event was missed.
func (s *reader) gets(want ...string) []broker.Event {
	s.r.Helper()
	events := s.take(len(want))
	for i, e := range events {
		if string(e.Payload) != want[i] {
			s.r.Fatalf("event %d is %q, want %q", i, e.Payload, want[i])
		}
	}
	if s.missed {
		s.r.Fatalf("Receive reports missed events, but none was dropped")
	}
	return events
}

func (s *reader) none() {
	s.r.Helper()
	ctx, cancel := context.WithTimeout(s.r.ctx, s.r.Slack)
	defer cancel()
	if s.receive(ctx) || len(s.read) > 0 {
		s.r.Fatalf("received %d events, want none (missed: %v)", len(s.read), s.missed)
	}
}

func eventsInOrder(r *rig) {
	s := r.subscribe("t", broker.CursorNow)
	r.publish("t", "1")
	r.publish("t", "2", "3", "4")
	r.publish("t", "5")
	events := s.gets("1", "2", "3", "4", "5")
	for i, e := range events[1:] {
		if e.Cursor == events[i].Cursor {
			r.Fatalf("two events have the cursor %q", e.Cursor)
		}
	}
	s.none()
	r.publish("t")
	s.none()
}

func eventsFromNow(r *rig) {
	r.publish("t", "before")
	s := r.subscribe("t", broker.CursorNow)
	r.publish("t", "after") // before Receive is called
	s.gets("after")
	s.none()
	late := r.subscribe("t", broker.CursorNow)
	late.none()
	r.publish("t", "more")
	late.gets("more")
	s.gets("more")
}

func eventsFromStart(r *rig) {
	s := r.subscribe("t", broker.CursorStart) // the topic does not exist yet
	r.publish("t", "1", "2")
	s.gets("1", "2")
	late := r.subscribeAt(r.other(), "t", broker.CursorStart)
	late.gets("1", "2")
	r.publish("t", "3")
	late.gets("3")
	s.gets("3")
}

func eventsFromCursor(r *rig) {
	r.publish("t", "1", "2", "3", "4")
	events := r.subscribe("t", broker.CursorStart).gets("1", "2", "3", "4")
	for i, e := range events {
		s := r.subscribeAt(r.other(), "t", e.Cursor)
		s.gets([]string{"1", "2", "3", "4"}[i+1:]...)
		s.none()
	}
	s := r.subscribe("t", events[3].Cursor)
	r.publish("t", "5")
	s.gets("5")
}

func eventsResume(r *rig) {
	cursor := broker.CursorStart
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprint(i), fmt.Sprint(-i))
		r.publish("t", want[2*i:]...)
	}
	for i := 0; i < len(want); {
		s := r.subscribe("t", cursor)
		n := min(1+i%3, len(want)-i)
		events := s.gets(want[i : i+n]...)
		cursor = events[n-1].Cursor
		i += n
		if err := s.Close(); err != nil {
			r.Fatalf("Close: %v", err)
		}
	}
}

func eventsEachSubscriber(r *rig) {
	other := r.other()
	var readers []*reader
	for i := range 6 {
		readers = append(readers, r.subscribeAt([]broker.Broker{r.Broker, other}[i%2], "t", broker.CursorNow))
	}
	r.publish("t", "1", "2")
	for _, s := range readers {
		s.gets("1", "2")
		s.none()
	}
}

func eventsTopics(r *rig) {
	a, b := r.subscribe("a", broker.CursorNow), r.subscribe("b", broker.CursorNow)
	err := r.Broker.Publish(r.ctx, []broker.Event{
		{Topic: "a", Payload: []byte("a1")}, {Topic: "b", Payload: []byte("b1")}, {Topic: "a", Payload: []byte("a2")},
	})
	if err != nil {
		r.Fatalf("Publish: %v", err)
	}
	a.gets("a1", "a2")
	b.gets("b1")
	a.none()
	b.none()
}

func eventsSoon(r *rig) {
	s := r.subscribe("t", broker.CursorNow)
	for range 5 {
		var start, got time.Time
		together(func() {
			ctx, cancel := context.WithTimeout(r.ctx, patience)
			defer cancel()
			if events, _, err := s.Receive(ctx); err != nil || len(events) != 1 {
				r.Errorf("Receive: %d events, %v", len(events), err)
			}
			got = time.Now()
		}, func() {
			r.idle()
			start = time.Now()
			if err := r.Broker.Publish(r.ctx, []broker.Event{{Topic: "t"}}); err != nil {
				r.Errorf("Publish: %v", err)
			}
		})
		if late := got.Sub(start); late > r.prompt() {
			r.Fatalf("the event arrived after %v, which is too late", late)
		}
	}
}

func eventsBytes(r *rig) {
	s := r.subscribe("t", broker.CursorNow)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	large := string(slices.Repeat([]byte{1}, r.Broker.Limits().Payload))
	r.publish("t", string(all), "", large)
	s.gets(string(all), "", large)
}

func eventsMany(r *rig) {
	const n = 2*broker.MaxBatch + 345
	s := r.subscribe("t", broker.CursorNow)
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprint(i)
	}
	r.publish("t", want...)
	s.gets(want...)
	s.none()
}

func eventsBelong(r *rig) {
	a, b := r.subscribe("t", broker.CursorNow), r.subscribe("t", broker.CursorNow)
	events := []broker.Event{{Topic: "t", Payload: []byte("before")}}
	if err := r.Broker.Publish(r.ctx, events); err != nil {
		r.Fatalf("Publish: %v", err)
	}
	copy(events[0].Payload, "AFTER!")
	copy(a.gets("before")[0].Payload, "AFTER!")
	b.gets("before")
	r.subscribe("t", broker.CursorStart).gets("before")
}

func eventsContextEnds(r *rig) {
	s := r.subscribe("t", broker.CursorNow)
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan error, 1)
	go func() {
		_, _, err := s.Receive(ctx)
		done <- err
	}()
	r.idle()
	start := time.Now()
	cancel()
	r.is(<-done, context.Canceled)
	if late := time.Since(start); late > r.prompt() {
		r.Fatalf("Receive returned %v after its context ended, want at once", late)
	}
	r.publish("t", "1")
	s.gets("1")
}

func eventsClose(r *rig) {
	s, other := r.subscribe("t", broker.CursorNow), r.subscribe("t", broker.CursorNow)
	done := make(chan error, 1)
	go func() {
		_, _, err := s.Receive(r.ctx)
		done <- err
	}()
	r.idle()
	start := time.Now()
	for range 2 {
		if err := s.Close(); err != nil {
			r.Fatalf("Close: %v", err)
		}
	}
	r.is(<-done, broker.ErrClosed)
	if late := time.Since(start); late > r.prompt() {
		r.Fatalf("Receive returned %v after Close, want at once", late)
	}
	_, _, err := s.Receive(r.ctx)
	r.is(err, broker.ErrClosed)
	r.publish("t", "1")
	other.gets("1")
}

func eventsLimits(r *rig) {
	large := make([]byte, r.Broker.Limits().Payload+1)
	r.is(r.Broker.Publish(r.ctx, []broker.Event{{Topic: "t", Payload: large}}), broker.ErrTooLarge)
	r.is(r.Broker.Publish(r.ctx, []broker.Event{{Topic: "no spaces"}}), broker.ErrInvalid)
	r.is(r.Broker.Publish(r.ctx, []broker.Event{{}}), broker.ErrInvalid)
	// A refused call publishes none of its events.
	s := r.subscribe("t", broker.CursorStart)
	fine := broker.Event{Topic: "t", Payload: []byte("refused")}
	r.is(r.Broker.Publish(r.ctx, []broker.Event{fine, {Topic: "other", Payload: large}}), broker.ErrTooLarge)
	r.is(r.Broker.Publish(r.ctx, []broker.Event{fine, {Topic: "no spaces"}}), broker.ErrInvalid)
	r.publish("t", "1")
	s.gets("1")
	_, err := r.Broker.Subscribe(r.ctx, "no spaces", broker.CursorNow)
	r.is(err, broker.ErrInvalid)
}

func eventsMissedAfterRetention(r *rig) {
	r.publish("t", "1", "2")
	cursor := r.subscribe("t", broker.CursorStart).gets("1", "2")[0].Cursor
	r.Advance(broker.DefaultRetention / 2)
	r.publish("t", "3")
	r.subscribe("t", cursor).gets("2", "3")
	r.Advance(broker.DefaultRetention/2 + 2*time.Minute)
	r.publish("t", "4")
	s := r.subscribe("t", cursor)
	if events := s.take(2); string(events[0].Payload) != "3" || string(events[1].Payload) != "4" || !s.missed {
		r.Fatalf("received %q and %q, missed: %v; want 3 and 4, and missed true", events[0].Payload, events[1].Payload, s.missed)
	}
	cursor = r.subscribe("t", broker.CursorStart).gets("3", "4")[0].Cursor // the topic keeps only these
	r.subscribe("t", cursor).gets("4")                                     // no event after this cursor was dropped
}

func eventsMissedAfterOverflow(r *rig) {
	r.publish("t", "first", "second")
	cursor := r.subscribe("t", broker.CursorStart).take(1)[0].Cursor
	payloads := make([]string, broker.MaxBatch)
	for range broker.MaxInbox/broker.MaxBatch + 5 {
		r.publish("t", payloads...)
	}
	s := r.subscribe("t", cursor)
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	if !s.receive(ctx) || !s.missed {
		r.Fatalf("events were dropped, but Receive did not report missed events")
	}
	start := r.subscribe("t", broker.CursorStart) // begins at the oldest event that is kept
	if !start.receive(ctx) || start.missed {
		r.Fatalf("no event after CursorStart was dropped, but Receive reports missed events")
	}
}
