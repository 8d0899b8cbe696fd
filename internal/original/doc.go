// Package original has no code of its own: its tests are those of the Arbiter
// that this one re-creates, on memory and on a real Redis.
package original
