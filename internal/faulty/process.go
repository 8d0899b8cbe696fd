package faulty

import "context"

// Kill ends the process that has the wrapper, as SIGKILL does: no request of it
// reaches the broker any more, and no reply or call of the broker reaches it.
// What it waits for returns [broker.ErrClosed], so that its goroutines end.
func (b *Broker) Kill() { b.end() }

// Hang stops the process that has the wrapper, or lets it go on: until then no
// request reaches the broker, and no reply, notice or call of the broker reaches
// the process. Its own goroutines run.
func (b *Broker) Hang(hangs bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case hangs && b.held == nil:
		b.held = make(chan struct{})
	case !hangs && b.held != nil:
		close(b.held)
		b.held = nil
	}
}

func (b *Broker) hangs() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held != nil
}

// reachable says whether a call of the broker gets through.
func (b *Broker) reachable() bool { return b.life.Err() == nil && !b.hangs() }

// waitWhileHeld returns when the process goes on, or ctx ends.
func (b *Broker) waitWhileHeld(ctx context.Context) {
	for {
		b.mu.Lock()
		held := b.held
		b.mu.Unlock()
		if held == nil {
			return
		}
		select {
		case <-held:
		case <-ctx.Done():
			return
		}
	}
}

// begin returns a context that also ends when the process is killed.
func (b *Broker) begin(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(b.life, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}
