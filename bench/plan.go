package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// plan is the list of trials to run.
type plan struct {
	size
	runs     int
	progress io.Writer // a line is written before each run of a measure
	measures []measure
	systems  []contender
}

func makePlan(c config, filter *regexp.Regexp) (*plan, error) {
	p := &plan{size: c.size(), runs: c.runs, progress: io.Discard}
	list, systems := measures(), contenders()
	if c.growth {
		list, systems = growthMeasures(c.short), growthSystems()
	}
	for _, m := range list {
		if filter.MatchString(m.name) {
			p.measures = append(p.measures, m)
		}
	}
	if len(p.measures) == 0 {
		return nil, fmt.Errorf("-measures %q: no measure matches", c.measures)
	}
	wanted := strings.Split(c.peers, ",")
	var names []string
	for _, s := range systems {
		if s.peer {
			names = append(names, s.name)
		}
		if !s.peer || c.peers == "all" || slices.Contains(wanted, s.name) {
			p.systems = append(p.systems, s)
		}
	}
	for _, name := range wanted {
		if c.peers != "all" && c.peers != "none" && !c.growth && !slices.Contains(names, name) {
			return nil, fmt.Errorf("-peers: no peer %q, want all, none, or some of %s", name, strings.Join(names, ","))
		}
	}
	return p, nil
}

// takesPart reports whether m is measured for a system.
func (s *contender) takesPart(m *measure) bool {
	switch {
	case s.bare != nil:
		return s.bare[m.name] != nil
	case s.only != nil:
		return slices.Contains(s.only, m.name)
	}
	return m.memory == (s.server == none)
}

// execute runs the plan and returns the report.
func (p *plan) execute(ctx context.Context, srvs *servers) *report {
	rep := &report{}
	for i := range p.measures {
		m := &p.measures[i]
		blocks := make(map[string]*block)
		for run := range p.runs {
			if ctx.Err() != nil {
				return rep
			}
			_, _ = fmt.Fprintf(p.progress, "%s, run %d of %d\n", m.name, run+1, p.runs)
			for k := range p.systems {
				s := &p.systems[k]
				if !s.takesPart(m) || ctx.Err() != nil {
					continue
				}
				b := blocks[s.name]
				if b == nil {
					b = rep.block(m, s)
					blocks[s.name] = b
				}
				if b.err != nil {
					continue // a system that has failed is not measured again
				}
				b.add(p.trial(ctx, srvs, m, s))
			}
		}
	}
	return rep
}

// trial runs one trial. A trial that does not end is abandoned.
func (p *plan) trial(ctx context.Context, srvs *servers, m *measure, s *contender) (values []float64, note string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 8*p.limit+20*time.Second+m.extra)
	defer cancel()
	t := &trial{size: p.size}
	if t.srv, err = srvs.get(ctx, s.server); err != nil {
		return nil, "", err
	}
	if t.srv != nil {
		if err := t.srv.client.FlushAll(ctx).Err(); err != nil {
			return nil, "", err
		}
	}
	type outcome struct {
		values []float64
		err    error
	}
	ended := make(chan outcome, 1)
	go func() {
		values, err := t.run(ctx, m, s)
		ended <- outcome{values, err}
	}()
	select {
	case o := <-ended:
		return o.values, t.note, o.err
	case <-ctx.Done():
	}
	// The trial may be about to end by itself.
	select {
	case o := <-ended:
		return o.values, t.note, o.err
	case <-time.After(time.Second):
		return nil, "", fmt.Errorf("the trial did not end: %w", ctx.Err())
	}
}

func (t *trial) run(ctx context.Context, m *measure, s *contender) (values []float64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if s.bare != nil {
		return s.bare[m.name](ctx, t)
	}
	if t.sys, err = s.open(ctx, t.srv); err != nil {
		return nil, err
	}
	defer t.sys.Close()
	return m.run(ctx, t)
}
