package brokertest

import (
	"errors"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// broker.Squads: squads are groups whose members start together or not at all.
func squadTests() []test {
	tests := slices.Concat(postTests, assignTests, assignEndTests, decideTests)
	for i := range tests {
		tests[i].needs |= needFlows | needSquads
	}
	return tests
}

func (r *rig) squads() broker.Squads { return r.squadsAt(r.Broker) }

// inSquad makes a task a member of a squad.
func inSquad(t *broker.Task) { t.Flow.Squad, t.Flow.Blocked = true, true }

func (m *minion) onAssign(tasks []*broker.Delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.given = append(m.given, tasks...)
}

func (m *minion) onPost(payload []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.posts = append(m.posts, string(payload))
}

// assignments waits until OnAssign has delivered n different tasks, and returns them by their ids.
func (m *minion) assignments(n int) map[broker.ID]*broker.Delivery {
	m.r.Helper()
	byID := map[broker.ID]*broker.Delivery{}
	m.r.eventually("OnAssign has delivered the assigned tasks", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, d := range m.given {
			byID[d.ID] = d
		}
		return len(byID) >= n
	})
	if len(byID) != n {
		m.r.Fatalf("OnAssign delivered %d tasks, want %d", len(byID), n)
	}
	return byID
}

// assign assigns tasks to a minion. The tasks at exactly the refused indexes must be refused.
func (r *rig) assign(to broker.ID, ids []broker.ID, refused ...int) {
	r.Helper()
	r.assignAt(r.Broker, to, ids, refused...)
}

func (r *rig) assignAt(b broker.Broker, to broker.ID, ids []broker.ID, refused ...int) {
	r.Helper()
	err := r.squadsAt(b).Assign(r.ctx, to, ids)
	if len(refused) == 0 {
		if err != nil {
			r.Fatalf("Assign: %v", err)
		}
		return
	}
	var batch *broker.BatchError
	if !errors.As(err, &batch) || len(batch.Errs) != len(ids) {
		r.Fatalf("Assign returned %v, want a *BatchError for %d tasks", err, len(ids))
	}
	for i, err := range batch.Errs {
		if slices.Contains(refused, i) != errors.Is(err, broker.ErrNotFound) || !slices.Contains(refused, i) && err != nil {
			r.Fatalf("Assign returned for task %d: %v; want errors at the indexes %v", i, err, refused)
		}
	}
}

var postTests = []test{
	{"PostToConsumer", postToConsumer, 0},
	{"PostToInbox", postToInbox, 0},
	{"PostToInboxOpenedTwice", postToInboxTwice, 0},
	{"PostToNobody", postToNobody, 0},
	{"PostAsLargeAsCanBe", postLarge, 0},
}

func postToConsumer(r *rig) {
	m, deaf := r.minion(), r.minion()
	for _, b := range []broker.Broker{r.Broker, r.other()} {
		text := []byte("\x00 hello")
		if err := r.squadsAt(b).Post(r.ctx, m.ID(), text); err != nil {
			r.Fatalf("Post: %v", err)
		}
		clear(text) // the payload belongs to the caller again
		r.eventually("OnPost has delivered the post", func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return slices.Equal(m.posts, []string{"\x00 hello"})
		})
		m.mu.Lock()
		m.posts = nil
		m.mu.Unlock()
	}
	deaf.mu.Lock()
	defer deaf.mu.Unlock()
	if len(deaf.posts) > 0 {
		r.Fatalf("another consumer got the posts %q", deaf.posts)
	}
}

func postToInbox(r *rig) {
	id := broker.NewID(broker.KindParty, "", 0)
	in, err := r.Broker.Inbox(r.ctx, id)
	if err != nil {
		r.Fatalf("Inbox: %v", err)
	}
	b := r.other()
	for _, text := range []string{"one", "", "three"} {
		if err := r.squadsAt(b).Post(r.ctx, id, []byte(text)); err != nil {
			r.Fatalf("Post: %v", err)
		}
	}
	var got []string
	for len(got) < 3 {
		mail, err := in.Receive(r.ctx)
		if err != nil || len(mail.Notices) > 0 {
			r.Fatalf("Receive returned %+v, %v, want the post", mail, err)
		}
		for _, p := range mail.Squads.Posts {
			got = append(got, string(p))
		}
	}
	if !slices.Equal(got, []string{"one", "", "three"}) {
		r.Fatalf("posts %q", got)
	}
}

func postToInboxTwice(r *rig) {
	id := broker.NewID(broker.KindParty, "", 0)
	var openings []broker.Inbox
	for _, b := range []broker.Broker{r.Broker, r.Broker, r.other()} {
		in, err := b.Inbox(r.ctx, id)
		if err != nil {
			r.Fatalf("Inbox: %v", err)
		}
		openings = append(openings, in)
	}
	if err := r.squads().Post(r.ctx, id, []byte("hello")); err != nil {
		r.Fatalf("Post: %v", err)
	}
	for i, in := range openings {
		var posts [][]byte
		for len(posts) == 0 { // a gap at the opening may be reported
			mail, err := in.Receive(r.ctx)
			if err != nil {
				r.Fatalf("Receive of opening %d: %v", i, err)
			}
			posts = mail.Squads.Posts
		}
		if len(posts) != 1 || string(posts[0]) != "hello" {
			r.Fatalf("opening %d received the posts %q, want one", i, posts)
		}
		clear(posts[0]) // it belongs to the receiver
	}
}

func postToNobody(r *rig) {
	m := r.minion()
	if err := m.Close(r.ctx); err != nil {
		r.Fatalf("Close: %v", err)
	}
	for _, id := range []broker.ID{broker.NewID(broker.KindParty, "", 0), m.ID(), {}} {
		if err := r.squads().Post(r.ctx, id, []byte("x")); err != nil {
			r.Fatalf("Post to an unknown id returned %v, want nil", err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.posts) > 0 {
		r.Fatalf("a closed consumer got the posts %q", m.posts)
	}
}

func postLarge(r *rig) {
	m := r.minion()
	large := make([]byte, broker.MaxPost)
	if err := r.squads().Post(r.ctx, m.ID(), large); err != nil {
		r.Fatalf("Post: %v", err)
	}
	r.eventually("OnPost has delivered the post", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.posts) == 1 && len(m.posts[0]) == broker.MaxPost
	})
	r.is(r.squads().Post(r.ctx, m.ID(), make([]byte, len(large)+1)), broker.ErrTooLarge)
}
