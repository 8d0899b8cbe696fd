package memory

import (
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// The errors for closed things; each says what is closed.
var (
	errClosed      = fmt.Errorf("the memory broker is %w", broker.ErrClosed)
	errInboxClosed = fmt.Errorf("the inbox is %w", broker.ErrClosed)
)

func (c *consumer) errClosed() error {
	return fmt.Errorf("the consumer of minion %s is %w", c.id, broker.ErrClosed)
}

func (s *subscription) errClosed() error {
	return fmt.Errorf("the subscription to topic %s is %w", s.name, broker.ErrClosed)
}
