// Package infokey has the key under which a context knows the attempt it belongs
// to: a minion answers for it itself, so that nothing is made for those who
// don't ask.
package infokey

// Key is the key; the value is a *task.Info.
type Key struct{}
