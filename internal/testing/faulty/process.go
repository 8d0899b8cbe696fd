package faulty

import "context"

// Kill ends the process that uses the wrapper, like SIGKILL. Its requests do not reach the broker
// any more, and no reply or callback reaches it. Its waiting calls return [broker.ErrClosed], so
// that its goroutines end.
func (b *Broker) Kill() { b.end() }

// Hang stops the process that uses the wrapper, or lets it go on. While it hangs, its requests do
// not reach the broker, and no reply, notice or callback reaches it. Its own goroutines run on.
func (b *Broker) Hang(hangs bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case hangs && b.hung == nil:
		b.hung = make(chan struct{})
	case !hangs && b.hung != nil:
		close(b.hung)
		b.hung = nil
	}
}

// CutOff cuts the process that uses the wrapper off, or connects it again. While it is cut off, its
// requests fail at once and do not reach the broker, and no reply, notice or callback reaches it.
func (b *Broker) CutOff(off bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.off = off
}

func (b *Broker) cutOff() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.off
}

func (b *Broker) hangs() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hung != nil
}

// reachable reports whether a callback of the broker reaches the process.
func (b *Broker) reachable() bool { return b.life.Err() == nil && !b.hangs() && !b.cutOff() }

// waitWhileHung waits until the process goes on, or ctx ends.
func (b *Broker) waitWhileHung(ctx context.Context) {
	for {
		b.mu.Lock()
		hung := b.hung
		b.mu.Unlock()
		if hung == nil {
			return
		}
		select {
		case <-hung:
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
