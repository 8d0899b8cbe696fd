// Package original has no code of its own: its tests are those of the Arbiter
// that this one re-creates, on memory and on a real Redis. Beside its own tests
// (original_test.go) each of its features has one that is named after it
// (features_test.go). TLS and logins need servers of their own, and are tested in
// internal/e2e.
package original
