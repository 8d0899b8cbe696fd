package request

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Prepared returns the request of a task that another process has prepared, with its id, codec and
// payload. The payload is not sealed. inherit and waitForRoom are the settings that a record does not have. Only code that carries requests between processes needs it.
func Prepared(t *broker.Task, inherit, waitForRoom bool) *Request {
	scope, key := broker.SplitKey(t.Unique.Key)
	return &Request{
		name: t.Name, id: t.ID, codec: t.Codec, payload: t.Payload, special: &special{upstream: t.Flow.Upstream, hidden: true},
		settings: &Settings{
			Queue: t.Queue, Timeout: t.Timeout, Delay: t.Delay, Within: t.Deadline,
			Retries: t.Retries, Retention: t.Retention, DeadRetention: t.DeadFor,
			Meta: t.Meta, Lane: laneOf(t.Lane), Schema: t.Schema, Slots: int(t.Slots),
			Inherit: inherit, WaitForRoom: waitForRoom,
			Unique: Unique{
				Key: key, Scope: scope, For: t.Unique.For, UntilStart: t.Unique.UntilStart,
				OnConflict: Conflict(t.Unique.OnConflict), MaxAge: t.Unique.MaxAge,
			},
		},
	}
}

// PreparedFlow is [Prepared] for a pipe or group.
func PreparedFlow(id broker.ID, f *Flow, retention time.Duration, inherit bool) *Request {
	r := newFlow(&parts{kind: f.Kind, members: f.Members, size: len(f.Members), group: f.GroupSettings})
	r.id, r.own().flow = id, f
	s := r.settings.Clone()
	s.Retention, s.Inherit = retention, inherit
	r.settings = &s
	return r
}
