// Package infokey has the key under which a context holds the task.Info of the current attempt. The
// contexts of a minion answer it themselves, so an Info is built only for a handler that asks for
// it.
package infokey

// Key is the key. The value is a *task.Info.
type Key struct{}
