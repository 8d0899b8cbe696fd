// Package original has tests only: those of the original Arbiter, written in Python, on this
// implementation. They run on memory and on a real Redis. original_test.go has the original's own
// tests, and features_test.go has one test for each of its features, with the name of the feature.
// TLS and logins need special servers, so they are tested in internal/testing/e2e.
package original
