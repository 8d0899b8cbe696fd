package outbox

import "time"

// SetTimes sets the time after which a relay gives a batch up, and the time after which the database frees the rows of
// a relay that is cut off.
func (o *Outbox) SetTimes(move, idle time.Duration) { o.times = times{move, idle} }
