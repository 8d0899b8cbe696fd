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

// errLost is the error of a consumer's methods once its lease has ended.
func (c *consumer) errLost() error { return fmt.Errorf("minion %s: %w", c.id, broker.ErrLeaseLost) }

func (s *subscription) errClosed() error {
	return fmt.Errorf("the subscription to topic %s is %w", s.name, broker.ErrClosed)
}
